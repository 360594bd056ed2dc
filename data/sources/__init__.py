"""Source files and platform definitions, validated."""
