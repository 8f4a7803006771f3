"""Human oversight at a site: reviews on the page, and reviews found in the archive."""
