"""What belongs to a case: watch-list, bundles, canary bitmaps, sealed evidence and incidents."""
