"""The accurate network: dilated convolutions over whole sentences."""
