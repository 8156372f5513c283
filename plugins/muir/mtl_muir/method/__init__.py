"""The method cuts weights into blocks; hypermodules generate the blocks of all networks."""
