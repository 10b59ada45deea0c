/* tools/plan/paper_print.c: the paper's cells beside the formulas' values. */
#include <math.h>
#include <stdio.h>

#include "tools/plan/paper.h"

static const char *const method_name[PAPER_METHODS] = { "vanilla", "memory-efficient",
                                                        "and FFN by blocks", "ring" };

static void print_table1(void)
{
    static const char *const cells[PAPER_METHODS] = {
        "2bns^2     8bsh     2bhs^2",
        "2bsh+4bch  8bsh     8bsh",
        "2bsh       2bsh     2bsh",
        "6bch       2bch     6bch",
    };
    const double s = 32 * 1024, c = 4 * 1024;
    printf("Table 1: bytes of a layer's activations in bf16, with batch b, heads n, sequence s, block c,\n"
           "hidden h; and what they are for 7B, s 32K, c 4K, b 1\n"
           "  %-18s %-10s %-8s %-10s %s\n",
           "", "attention", "FFN", "total", "7B");
    for (int i = 0; i < PAPER_METHODS; i++)
        printf("  %-18s %-30s %7.2f GB\n", method_name[i], cells[i],
               paper_layer_bytes(paper_model("7B"), (enum paper_method)i, s, c) * 1e-9);
    printf("  A total is the larger of its parts. The first has h where its own cell has n: a misprint.\n");
}

static void print_table2(void)
{
    printf("\nTable 2: the smallest block that hides its transfer, F/B, and six of them; thousand tokens\n"
           "  %-16s %8s %7s %7s   %15s   %15s\n"
           "  %-16s %8s %7s %7s   %7s %7s   %7s %7s\n",
           "", "", "", "", "block", "sequence", "", "TFLOP/s", "GB", "GB/s", "printed", "F/B",
           "printed", "6F/B");
    for (int i = 0; i < paper_n_table2; i++) {
        const struct paper_table2 *r = &paper_table2[i];
        printf("  %-16s %8g %7g %7g   %7.1f %7.2f   %7.1f %7.2f  %s\n", r->device, r->tflops,
               r->memory_gb, r->link_gbs, r->block, paper_block(r), r->sequence, 6 * paper_block(r),
               r->follows ? "follows" : "DOES NOT FOLLOW");
    }
    printf("  InfiniBand's row does not follow: F/B is 24.96 and not 24.5, six times that is 149.76, and\n"
           "  six times 24.5 would be 147.0. The text's \"between 6K and 10K\" leaves this row out. F/B\n"
           "  holds for elements of 2 bytes; in f32 it is 2F/B, with the F of f32.\n");
}

static void print_table3(void)
{
    printf("\nTable 3: longest context in training, thousand tokens; gain: the ring over the third cell\n"
           "  %-18s %-5s %31s   %5s %5s   %s\n"
           "  %-18s %-5s %7s %7s %7s %7s   %5s %5s   %7s %7s %7s %7s\n",
           "", "", "printed", "gain", "ring", "our own figure", "", "", "vanilla", "m-eff.", "+FFN",
           "ring", "", "size", "vanilla", "m-eff.", "+FFN", "ring");
    for (int i = 0; i < paper_n_table3; i++) {
        const struct paper_table3 *r = &paper_table3[i];
        printf("  %-18s %-5s", r->machine, r->model);
        for (int m = 0; m < PAPER_METHODS; m++)
            printf(" %7g", r->cell[m]);
        printf("   %4dx %4d%c ", r->gain, r->devices / r->tensor, r->tensor > 1 ? '*' : ' ');
        for (int m = 0; m < PAPER_METHODS; m++)
            printf(" %7.0f", paper_context(r, (enum paper_method)m));
        printf("\n");
    }
    printf("  The gain is the ring's size: each device adds its own block. *: n/m, where m devices share a\n"
           "  model's layer; the paper does not print m, so 2 or 4 is what the gain leaves.\n"
           "  The absolute cells do not follow from table 1 and the memory. They are powers of two, so up to\n"
           "  a half is lost in rounding; and table 1 is one layer's forward pass, where a backward pass\n"
           "  holds several such tensors, logits, and the framework's own. Ours is what must be there at\n"
           "  least, and so no cell is above it: weights, gradients and two moments in f32 over all devices;\n"
           "  a gathered layer; a checkpoint a layer; one layer by table 1; the head in pieces, with no\n"
           "  room; elements of 4 bytes on A100, as the paper says, of 2 on TPU, as we assume; batch 1.\n");
}

static void print_table4(void)
{
    printf("\nTable 4: contexts at which utilisation was compared, thousand tokens; bars are not quoted\n"
           "  %-6s %-12s %9s %7s %6s\n",
           "", "", "blockwise", "ring", "gain");
    for (int i = 0; i < paper_n_table4; i++)
        printf("  %-6s %-12s %9g %7g %5gx\n", paper_table4[i].model, paper_table4[i].machine,
               paper_table4[i].blockwise, paper_table4[i].ring,
               paper_table4[i].ring / paper_table4[i].blockwise);
    printf("  30B has 16 blockwise here and 8 in table 3, so the gain is half of that there.\n");
}

/* As the paper rounds: to one decimal. */
static int equal(double printed, double value)
{
    return fabs(round(value * 10) - printed * 10) < 1e-6;
}

static void print_figure5(void)
{
    int same = 0, all = 0;
    printf("\nFigure 5: float operations per dataset, over those at 4K; below, (6h+s)/(6h+4096)\n  %-6s %6s",
           "", "h");
    for (int c = 0; c < PAPER_CONTEXTS; c++)
        printf(" %7s", paper_context_name[c]);
    printf("\n");
    for (int i = 0; i < paper_n_figure5; i++) {
        const struct paper_figure5 *r = &paper_figure5[i];
        printf("  %-6s %6lld", r->model, (long long)r->hidden);
        for (int c = 0; c < PAPER_CONTEXTS; c++)
            printf(" %7.1f", r->cell[c]);
        printf("\n  %13s", "");
        for (int c = 0; c < PAPER_CONTEXTS; c++, all++) {
            double value = paper_flops_ratio(r->hidden, paper_context_tokens[c]);
            same += equal(r->cell[c], value);
            printf(" %7.1f", value);
        }
        printf("\n");
    }
    printf("  %d of %d cells are equal, where 10M stands for 12 x 2^20 and 100M for 128 x 2^20 tokens:\n"
           "  with 10 x 2^20 and 100 x 2^20 the last two columns would not follow. The text's h of 13B,\n"
           "  5140, is a misprint of 5120.\n",
           same, all);
}

void paper_print(void)
{
    printf("Ring Attention with Blockwise Transformers (arXiv 2310.01889): what is printed there,\n"
           "and what can be computed again. [p] was read in the paper, [m] is only remembered.\n\n");
    print_table1();
    print_table2();
    print_table3();
    print_table4();
    print_figure5();
    printf("\nOther tables and the text\n");
    for (int i = 0; i < paper_n_claims; i++) {
        const struct paper_claim *c = &paper_claims[i];
        printf("  [%c] %s\n        %s\n", c->mark, c->claim,
               c->mark == PAPER_UNVERIFIED ? "reported, unverified" : c->finding);
    }
}
