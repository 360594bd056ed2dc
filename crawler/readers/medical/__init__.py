"""Readers of formats that only health care uses: DICOM and HPRIM."""
