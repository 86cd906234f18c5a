"""`server seed`: a believable history, made by the operations themselves on a moved clock."""
