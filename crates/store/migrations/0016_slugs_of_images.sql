-- A slug may be several images that lie on each other. What names it is what is in it, whatever images that is in; of
-- slugs from before, the digest of their one image.
ALTER TABLE slugs RENAME COLUMN image_digest TO digest;
-- JSON array of the images' digests, the lowest first.
ALTER TABLE slugs ADD COLUMN images TEXT NOT NULL DEFAULT '[]';
UPDATE slugs SET images = json_array(digest);
