#include <stdint.h>

enum kind { CONVOLUTION, ADDITION, MAXIMUM, MEAN, LINEAR };

// One call of CMSIS-NN. Shapes are height, width, channels; of pairs, the vertical one is first.
struct step {
    enum kind kind;
    int32_t input[3], output[3];
    int32_t kernel[2], stride[2], padding[2];
    int32_t groups;
    int32_t input_zero, output_zero;
    int32_t low;    // results are not below
    int32_t shift;  // results are accumulators, by 0.5 to 1, by 2^shift
};

// What cmsis_nn.py writes.
extern const struct step steps[];
extern const int32_t step_count;

// start.c
void print(const char *text);
_Noreturn void end(uint32_t code);
