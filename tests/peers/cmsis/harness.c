// Calls CMSIS-NN once for each step, on random numbers, and prints the instructions that the call took and how many of
// its results were computed in plain C too. Ends with an error if one of them differs.

#include <arm_nnfunctions.h>
#include <stddef.h>

#include "harness.h"

// Of a board's FPGA: counts at COUNTER_MHZ, while the emulator takes 64 ns an instruction.
#define COUNTER (*(volatile uint32_t *)(COUNTERS + 0x18))
#define PRESCALE (*(volatile uint32_t *)(COUNTERS + 0x1c))

#define SAMPLE 1000000  // multiply-adds a step in plain C, about

#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
#define APART 1
#else
#define APART 0
#endif

static void number(uint32_t value) {
    char digits[12], *at = digits + sizeof digits;
    *--at = 0;
    *--at = ' ';
    do {
        *--at = '0' + value % 10;
    } while (value /= 10);
    print(at);
}

static _Noreturn void refuse(const char *why) {
    print(why);
    print("\n");
    end(1);
}

static uint32_t instructions(uint32_t since) {
    return (uint64_t)(uint32_t)(COUNTER - since) * 1000 / (64 * COUNTER_MHZ);
}

static uint32_t counted_loop(uint32_t rounds) {
    const uint32_t start = COUNTER;
    __asm volatile("1: subs %0, #1\n bne 1b" : "+r"(rounds) : : "cc");
    return instructions(start);
}

static uint32_t random(void) {
    static uint32_t state = 0x9e3779b9;
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

extern char arena_start[], arena_end[];
static char *arena;

static void *room(int32_t bytes) {
    char *at = arena;
    if (bytes > arena_end - at) {
        refuse("the layer is larger than the board's memory");
    }
    arena += (bytes + 15) & ~15;
    return at;
}

static int8_t *codes(int32_t count) {
    int8_t *values = room(count);
    for (int32_t i = 0; i < count; i++) {
        values[i] = random() >> 24;
    }
    return values;
}

static const struct step *step;
static int8_t *input, *other, *weights, *output;
static int32_t *bias, *multipliers, *shifts;

// Of an addition, as TensorFlow Lite chooses them: both inputs are brought to twice the greater scale by 2^-20.
enum { LEFT = 20, ONE = 1 << 30, TWO = 1503238553, SUM = 1288490189, ONE_SHIFT = 0, TWO_SHIFT = -1, SUM_SHIFT = -18 };

// value · multiplier · 2^(shift - 31), rounded as TensorFlow Lite rounds.
static int32_t scaled(int64_t value, int32_t multiplier, int32_t shift) {
    const int64_t high = (value * multiplier + (1 << 30)) >> 31;
    const int64_t half = (1LL << -shift) >> 1;
    return high < 0 ? -((half - high) >> -shift) : (high + half) >> -shift;
}

static int32_t sum_of_products(int32_t y, int32_t x, int32_t channel) {
    const int32_t per = step->input[2] / step->groups;
    const int32_t first = channel / (step->output[2] / step->groups) * per;
    const int8_t *weight = weights + channel * step->kernel[0] * step->kernel[1] * per;
    int32_t sum = bias[channel];
    for (int32_t i = 0; i < step->kernel[0]; i++) {
        for (int32_t j = 0; j < step->kernel[1]; j++, weight += per) {
            const int32_t row = y * step->stride[0] + i - step->padding[0];
            const int32_t column = x * step->stride[1] + j - step->padding[1];
            if (row < 0 || row >= step->input[0] || column < 0 || column >= step->input[1]) {
                continue;
            }
            const int8_t *at = input + (row * step->input[1] + column) * step->input[2] + first;
            for (int32_t c = 0; c < per; c++) {
                sum += (at[c] - step->input_zero) * weight[c];
            }
        }
    }
    return sum;
}

static int32_t of_window(int32_t y, int32_t x, int32_t channel) {
    int32_t greatest = -128, sum = 0, count = 0;
    for (int32_t i = 0; i < step->kernel[0]; i++) {
        for (int32_t j = 0; j < step->kernel[1]; j++) {
            const int32_t row = y * step->stride[0] + i - step->padding[0];
            const int32_t column = x * step->stride[1] + j - step->padding[1];
            if (row < 0 || row >= step->input[0] || column < 0 || column >= step->input[1]) {
                continue;
            }
            const int32_t code = input[(row * step->input[1] + column) * step->input[2] + channel];
            greatest = code > greatest ? code : greatest;
            sum += code;
            count++;
        }
    }
    return step->kind == MAXIMUM ? greatest : (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

// The result at `index`, in plain C.
static int32_t expected(int32_t index) {
    const int32_t channel = index % step->output[2], at = index / step->output[2];
    const int32_t y = at / step->output[1], x = at % step->output[1];
    int32_t code;
    switch (step->kind) {
    case CONVOLUTION:
    case LINEAR:
        code = step->output_zero + scaled(sum_of_products(y, x, channel), multipliers[channel], shifts[channel]);
        break;
    case ADDITION:
        code = scaled((int64_t)(input[index] - step->input_zero) << LEFT, ONE, ONE_SHIFT);
        code += scaled((int64_t)(other[index] - step->input_zero) << LEFT, TWO, TWO_SHIFT);
        code = step->output_zero + scaled(code, SUM, SUM_SHIFT);
        break;
    default:
        code = of_window(y, x, channel);
    }
    code = code < step->low ? step->low : code;
    return code > 127 ? 127 : code;
}

static cmsis_nn_context context(int32_t bytes) {
    return (cmsis_nn_context){room(bytes), bytes};
}

// Runs the step; the instructions of the call. Whatever can be prepared when a model is loaded is not counted.
static uint32_t run(void) {
    const int32_t *in = step->input, *out = step->output;
    const int32_t per = in[2] / step->groups;
    const cmsis_nn_tile stride = {step->stride[1], step->stride[0]}, padding = {step->padding[1], step->padding[0]};
    const cmsis_nn_activation range = {step->low, 127};
    const cmsis_nn_dims input_dims = {1, in[0], in[1], in[2]}, output_dims = {1, out[0], out[1], out[2]};
    const cmsis_nn_dims window_dims = {out[2], step->kernel[0], step->kernel[1], per};
    const cmsis_nn_dims bias_dims = {1, 1, 1, out[2]};
    arm_cmsis_nn_status status = ARM_CMSIS_NN_FAILURE;
    uint32_t start, took = 0;

    switch (step->kind) {
    case CONVOLUTION: {
        const cmsis_nn_conv_params params = {-step->input_zero, step->output_zero, stride, padding, {1, 1}, range};
        const cmsis_nn_per_channel_quant_params scales = {multipliers, shifts};
        const cmsis_nn_context buffer =
            context(arm_convolve_wrapper_s8_get_buffer_size(&params, &input_dims, &window_dims, &output_dims));
        start = COUNTER;
        status = arm_convolve_wrapper_s8(&buffer, &params, &scales, &input_dims, input, &window_dims, weights,
                                         &bias_dims, bias, &output_dims, output);
        took = instructions(start);
        break;
    }
    case LINEAR: {
        const cmsis_nn_fc_params params = {-step->input_zero, 0, step->output_zero, range};
        const cmsis_nn_quant_params scales = {multipliers, shifts, 1};
        const cmsis_nn_dims filter_dims = {in[2], 1, 1, out[2]};
        const cmsis_nn_context buffer = context(arm_fully_connected_s8_get_buffer_size(&filter_dims));
        if (buffer.size) {
            arm_vector_sum_s8(buffer.buf, in[2], out[2], weights, -step->input_zero, 0, bias);
        }
        start = COUNTER;
        status = arm_fully_connected_wrapper_s8(&buffer, &params, &scales, &input_dims, input, &filter_dims, weights,
                                                &bias_dims, bias, &output_dims, output);
        took = instructions(start);
        break;
    }
    case ADDITION:
        start = COUNTER;
        status = arm_elementwise_add_s8(input, other, -step->input_zero, ONE, ONE_SHIFT, -step->input_zero, TWO,
                                        TWO_SHIFT, LEFT, output, step->output_zero, SUM, SUM_SHIFT, step->low, 127,
                                        out[0] * out[1] * out[2]);
        took = instructions(start);
        break;
    case MAXIMUM: {
        const cmsis_nn_pool_params params = {stride, padding, range};
        const cmsis_nn_context buffer = {NULL, 0};
        start = COUNTER;
        status = arm_max_pool_s8(&buffer, &params, &input_dims, input, &window_dims, &output_dims, output);
        took = instructions(start);
        break;
    }
    case MEAN: {
        const cmsis_nn_pool_params params = {stride, padding, range};
        const cmsis_nn_context buffer = context(arm_avgpool_s8_get_buffer_size(out[1], in[2]));
        start = COUNTER;
        status = arm_avgpool_s8(&buffer, &params, &input_dims, input, &window_dims, &output_dims, output);
        took = instructions(start);
        break;
    }
    }
    if (status != ARM_CMSIS_NN_SUCCESS) {
        refuse("CMSIS-NN refuses the layer");
    }
    return took;
}

int main(void) {
    PRESCALE = 0;
    const uint32_t more = counted_loop(20000) - counted_loop(10000);
    if (more < 19990 || more > 20010) {
        refuse("the counter does not count instructions");
    }
    for (step = steps; step < steps + step_count; step++) {
        const int32_t results = step->output[0] * step->output[1] * step->output[2];
        const int32_t window = step->kernel[0] * step->kernel[1];
        const int32_t products = window * step->input[2] / step->groups;
        arena = arena_start;
        input = codes(step->input[0] * step->input[1] * step->input[2]);
        other = codes(step->kind == ADDITION ? results : 0);
        output = codes(results);
        if (step->kind == CONVOLUTION || step->kind == LINEAR) {
            weights = codes(products * step->output[2]);
            bias = room(4 * step->output[2]);
            multipliers = room(4 * step->output[2]);
            shifts = room(4 * step->output[2]);
            for (int32_t i = 0; i < step->output[2]; i++) {
                bias[i] = (int16_t)(random() >> 16);
                multipliers[i] = (1 << 30) + (random() >> 2);
                shifts[i] = step->shift - (random() >> 31);
            }
        }
        const uint32_t took = run();

        // Odd, so that it passes by all channels.
        const int32_t stride = (int64_t)results * products / SAMPLE | 1;
        int32_t checked = 0;
        for (int32_t index = 0; index < results; index += stride, checked++) {
            const int32_t apart = output[index] - expected(index);
            if (apart > APART || apart < -APART) {
                refuse("a result that differs from plain C");
            }
        }
        number(took);
        number(checked);
        print("\n");
    }
    return 0;
}
