"""Who finds corrupted data, and who cries wolf over clean data: learned contracts and alerts beside other tools."""
