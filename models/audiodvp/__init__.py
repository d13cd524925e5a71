"""AudioDVP: photorealistic audio-driven video portraits (Wen et al., TVCG 2020).

The base that Meta Talk modifies; the public implementation is xinwen-cs/AudioDVP.
"""
