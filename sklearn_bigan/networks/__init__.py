"""The three networks: bodies that can be exchanged, and the heads that stay.

A *body* is any module of the user's or ours (`mlp`). What the method needs round it, the
posterior of the encoder, the output range of the generator, the logit of the discriminator, is
added by `Encoder`, `Generator` and `JointDiscriminator`, so that every body works with every
posterior, prior and loss.
"""
