"""The server of `dubflow inspect`: reads a store and shows it to one browser; changes nothing.

guard     who may ask          app       addresses          subject   what the command was given
run       artifacts of a run   description   what the page is told of it
frames    exact pictures       overlays, tracks, sound, thumbs
files     files by range       play      proxies to play    jobs      work in processes of their own
index     prepared data sets

Heavy work (networks, dubs) runs in processes that `jobs` starts; this one stays small.
"""
