"""The three networks in torch: interchangeable bodies, and the heads around them.

A *body* is any module of the user's or the package's (`mlp`, `dcgan`, `ali`). `Encoder`,
`Generator` and `JointDiscriminator` add what the method needs around it: the posterior, the output
range, the logit. Every body therefore works with every posterior, prior and objective. The networks
see standardised rows; they know nothing of the units of X.
"""
