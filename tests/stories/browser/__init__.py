"""Stories in Chromium, on the pages that users see."""
