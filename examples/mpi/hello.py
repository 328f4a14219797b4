#!/usr/bin/python3
# Adds up arrays of all ranks of an MPI job.
import numpy
from mpi4py import MPI

comm = MPI.COMM_WORLD
total = numpy.zeros(3)
comm.Allreduce(numpy.full(3, comm.rank + 1.0), total)
print(f"rank {comm.rank} of {comm.size}: {total.tolist()}", flush=True)
