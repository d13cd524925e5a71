"""Feature-driven talking face: identity of a picture, lips of speech or of a video, a StyleGAN2.

[P] "Feature-Driven Talking Face Generation with StyleGAN2", anonymous submission without code. Its
backbone is [V] DAVS: Zhou et al., "Talking Face Generation by Adversarially Disentangled
Audio-Visual Representation", AAAI 2019; public repository
Hangz-nju-cuhk/Talking-Face-Generation-DAVS, from which sizes come. Where both are silent, what was
decided here says so ("ours"), and why.

    face = TalkingFace(FaceSize())
    person = face.identity(picture)                 # once for each picture
    lips = face.hear(cepstra)                       # of speech, or
    lips, rest = face.see(frames)                   # of a video
    pictures = face(person, lips, rest)

Convention: pictures are RGB in -1..1, squares of `alignment`.
"""
