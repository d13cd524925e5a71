"""Media files: reading video and sound, cutting and pasting pixels, encoding and writing.

    timeline   what a video is and when each frame is shown, by decoding it all (`scan`)
    read       frames of a range as pictures that can be cropped, pasted into and encoded
    encode     frames to a closed segment of compressed packets
    audio      sound as blocks of float samples; cutting, padding, mixing
    mux        segments and sound to a file

Everything goes through PyAV, on local files only. Every failure is a `stores.errors.MediaError`
or `SettingsError` of one line.
"""
