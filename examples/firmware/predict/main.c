/* main.c - predicts from weights that stay in flash, in a static work buffer
     make && make run          on qemu's Cortex-M4F board; make host: here */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_PREDICT_ONLY
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "../../../moe.h"
#include "../board.h"
#include "network.h"
#include "model.h"      /* const: the linker puts it into flash */

/* The bytes are known when this is compiled; one more, to show a refusal. */
enum { WORK = MOE_WORK_BYTES(INPUTS, OUTPUTS, EXPERTS, EXPERTS, HIDDEN) };
static float memory[WORK / sizeof(float) + 1];
static moe m;

/* A buffer that stands wrong is refused; no access ever traps.  To a processor
   of 8 bits none does. */
struct behind { char byte; float real; };

static int refused(const moe_config *config)
{
    char *off = (char *)memory + 1;

    return offsetof(struct behind, real) == 1
        || moe_attach(&m, config, model, off, WORK) == MOE_ERR_MEMORY;
}

int main(void)
{
    moe_config config;
    int i, wrong = 0;

    network(&config);
    wrong += !refused(&config);
    if (moe_attach(&m, &config, model, memory, WORK) != MOE_OK) {
        print(m.error);
        return 1;
    }
    for (i = 0; i < CHECKS; i++) {
        float y, off;

        moe_predict(&m, case_x + 2 * i, 1, &y);
        off = y - case_y[i];
        wrong += off > 1e-4f || off < -1e-4f;
        print("gas 1e-6: ");
        print_millionths(y);
        print(", on the host ");
        print_millionths(case_y[i]);
        print("\n");
    }
    print(wrong ? "wrong\n" : "as on the host\n");
    return wrong != 0;
}
