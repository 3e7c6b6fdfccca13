"""The variable-ratio resamplers that the compensators control."""
