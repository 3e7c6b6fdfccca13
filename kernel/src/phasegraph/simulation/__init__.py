"""Simulating a graph: in virtual time, with what touches the world replaced, and the truth beside what nodes say."""
