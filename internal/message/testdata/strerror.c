// Prints the C library's texts for the error numbers 1 to 133, a line each.
#include <stdio.h>
#include <string.h>

int main(void)
{
    for (int i = 1; i <= 133; i++)
        puts(strerror(i));
    return 0;
}
