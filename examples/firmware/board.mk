# What all programs are built with.  BOARD is a start-up file and a linker
# script; for a board of your own, its own.
CROSS = arm-none-eabi-
BOARD = ../../../tests/targets
HOST_CC = cc
WARNINGS = -Wall -Wextra -Wpedantic
HOST = $(HOST_CC) -std=c99 -O2 $(WARNINGS) $(INCLUDE) $(CFLAGS)
TARGET = $(CROSS)gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard \
    -mfpu=fpv4-sp-d16 -std=c99 -Os -ffunction-sections -DTARGET_BARE \
    $(WARNINGS) $(INCLUDE) $(CFLAGS)
QEMU = qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native

all: build/$(NAME).elf
	$(CROSS)size $<

run: build/$(NAME).elf
	$(QEMU) -kernel $< </dev/null

host: build/$(NAME)
	build/$(NAME)

clean:
	rm -rf build

build:
	mkdir -p build

.SECONDEXPANSION:
build/$(NAME).elf: $$(SOURCES) ../board.h ../../../moe.h | build
	$(TARGET) -nostartfiles --specs=nano.specs -T$(BOARD)/cortex_m.ld \
	    -Wl,--gc-sections -o $@ main.c $(BOARD)/cortex_m.c

build/$(NAME): $$(SOURCES) ../board.h ../../../moe.h | build
	$(HOST) -o $@ main.c

.DEFAULT_GOAL = all
.PHONY: all run host clean
