"""What every room uses: files, warnings, progress, blocks of rows, optional packages."""
