"""Images and annotations: files to pixels, COCO to boxes, augmentation."""
