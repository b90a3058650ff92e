/* vowel_data.h - the vowels of the 1991 paper, for the examples; after moe.h

   From the formants F1, F2 in kHz, tell [i] [I] [a] [V] (heed, hid, hod, hud).
   Speakers 1-50 train, the other 25 test; man 33, a 76th, is left out.  The
   measurements are those of Peterson & Barney (1952) as a file of lines
   "type,sex,speaker,vowel,repetition,f0,f1,f2,f3", sorted by speaker; without
   it vowels are drawn around published means. */
#ifndef VOWEL_DATA_H
#define VOWEL_DATA_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN = 400, TEST = 200, CASES = TRAIN + TEST };
static const char vowels[] = "iIAV";
static moe_real formant[CASES][2];
static int vowel[CASES];                             /* its place in vowels */
static uint64_t random_state;

static inline double uniform(void)                /* in -1..1, by splitmix64 */
{
    uint64_t v = random_state += 0x9e3779b97f4a7c15u;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return (double)(v >> 40) / 8388608 - 1;
}

static inline int read_vowels(const char *path)           /* how many it got */
{
    FILE *f = fopen(path, "r");
    char line[200], v;
    float f1, f2;
    int n = 0, who;

    while (f && n < CASES && fgets(line, sizeof line, f))
        if (sscanf(line, "%*c,%*c,%d,%c,%*d,%*f,%f,%f", &who, &v, &f1, &f2) == 4
            && who != 33 && strchr(vowels, v)) {
            vowel[n] = (int)(strchr(vowels, v) - vowels);
            formant[n][0] = (moe_real)f1 / 1000;
            formant[n++][1] = (moe_real)f2 / 1000;
        }
    if (f)
        fclose(f);
    return n;
}

/* Each vowel twice by 32 men, 28 women, 15 children; 8 % standard deviation. */
static inline void draw_vowels(void)
{
    static const double mean[3][4][2] = {    /* Peterson & Barney, table II */
        {{0.27, 2.29}, {0.39, 1.99}, {0.73, 1.09}, {0.64, 1.19}},
        {{0.31, 2.79}, {0.43, 2.48}, {0.85, 1.22}, {0.76, 1.40}},
        {{0.37, 3.20}, {0.53, 2.73}, {1.03, 1.37}, {0.85, 1.59}}};
    int k, n;

    printf("No PATH: these vowels are drawn around published means, not "
           "measured.\n");
    for (n = 0; n < CASES; n++) {
        vowel[n] = n / 2 % 4;
        for (k = 0; k < 2; k++) {
            double z = uniform() + uniform() + uniform();     /* variance 1 */

            formant[n][k] = (moe_real)(mean[(n >= 256) + (n >= 480)][vowel[n]]
                                           [k] * (1 + 0.08 * z));
        }
    }
}

/* From the file, or drawn if path is NULL. */
static inline void get_vowels(const char *path)
{
    if (path == NULL)
        draw_vowels();
    else if (read_vowels(path) < CASES) {
        printf("%s does not hold the 600 vowels\n", path);
        exit(1);
    }
}

/* 1 for the vowels of `ones`, else 0. */
static inline void desire(const char *ones, moe_real *d)
{
    int n;

    for (n = 0; n < CASES; n++)
        d[n] = strchr(ones, vowels[vowel[n]]) ? 1 : 0;
}
#endif
