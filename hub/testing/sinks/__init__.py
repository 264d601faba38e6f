"""The suite for those who write a sink: what every sink must do, whatever it writes to, also when its mesh fails or its process ends."""
