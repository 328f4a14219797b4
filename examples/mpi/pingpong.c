// Sends messages to and fro between the first two ranks of an MPI job, and prints how long it takes.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT = 200, LARGEST = 4 << 20 }; // LARGEST in bytes

int main(int argc, char **argv)
{
    int rank, size, bad = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < 2) {
        fprintf(stderr, "pingpong: needs two ranks, and this is rank %d of %d\n", rank, size);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    char *message = malloc(LARGEST);
    for (int n = 1; n <= LARGEST && rank < 2; n *= 16) {
        double start = 0;
        for (int i = -10; i < REPEAT; i++) { // some for warming up
            if (i == 0)
                start = MPI_Wtime();
            if (rank == 0) {
                memset(message, i, (size_t)n);
                MPI_Send(message, n, MPI_CHAR, 1, 0, MPI_COMM_WORLD);
                MPI_Recv(message, n, MPI_CHAR, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                bad += message[n - 1] != (char)(i + 1);
            } else {
                MPI_Recv(message, n, MPI_CHAR, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                bad += message[0] != (char)i;
                memset(message, i + 1, (size_t)n);
                MPI_Send(message, n, MPI_CHAR, 0, 0, MPI_COMM_WORLD);
            }
        }
        double microseconds = (MPI_Wtime() - start) / (2 * REPEAT) * 1e6;
        if (rank == 0)
            printf("%8d bytes: %10.2f us, %10.1f MB/s\n", n, microseconds, n / microseconds);
    }
    if (bad) {
        fprintf(stderr, "pingpong: %d messages arrived changed\n", bad);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
    return 0;
}
