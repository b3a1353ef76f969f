"""A chat: the cluster example of Go nano, grown up."""
