"""What a trained model is worth: term means, image quality, latents, figures."""
