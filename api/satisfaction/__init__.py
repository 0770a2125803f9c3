"""Whether customers were satisfied: asked once per case, answered by a link."""
