"""What has to change in a mesh, in which order, what that means to people, and whether somebody must be asked. Pure."""
