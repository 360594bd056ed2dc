"""The data of a case: watch-list, canary bundles, bitmaps of sighted canaries, sealed evidence and incidents."""
