"""The local emulator: start it, deploy the stacks into it, run the demo."""
