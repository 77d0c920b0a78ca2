/* Chassis commands for OpenIPMI's ipmi_sim: power with boot flags, and a hook (README.md).
 *
 * ipmi_sim's own commands lose the flags' valid, persistent and EFI bits, so these replace them:
 * Get Chassis Status, Chassis Control, Set and Get System Boot Options.
 *
 *   loadlib "bootflags.so" "ADDRESS STATEFILE HOOK"      HOOK is - for none
 */
#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/serv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXPIRES 60 /* seconds */
#define STAYS 0x08 /* of boot option 3: not forgotten after 60 s */
#define VALID 0x80
#define PERSISTENT 0x40
#define EFI 0x20

static char address[64], state[512], hook[512];
static int power;
static unsigned char flags[5], clearing;
static time_t flags_set;

/* The machine's own process, if the hook wrote its pid: it may have switched itself off. */
static int has_ended(void)
{
    char path[600], status = 'Z', name[64];
    int pid;
    FILE *file;

    snprintf(path, sizeof path, "%s.pid", state);
    if (!(file = fopen(path, "r")))
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    if (!pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!(file = fopen(path, "r")))
        return 1;
    if (fscanf(file, "%*d %63s %c", name, &status) != 2)
        status = 'R'; /* a name with a blank: it is there */
    fclose(file);
    return status == 'Z';
}

static int is_on(void)
{
    return power && !has_ended();
}

static void forget_in_time(void)
{
    if (!(clearing & STAYS) && !(flags[0] & PERSISTENT) && time(NULL) - flags_set > EXPIRES)
        flags[0] &= ~VALID;
}

static const char *device(const unsigned char *these)
{
    static const char *devices[16] = { "none", "pxe", "disk", "none", "none", "cdrom", "bios" };
    const char *name = devices[these[1] >> 2 & 15];

    return these[0] & VALID && name ? name : "none";
}

/* What the hook is told, in its environment and in the state file. */
static const char *names[] = { "BMC_ADDRESS", "BMC_EVENT", "BMC_POWER", "BMC_BOOT_DEVICE",
                               "BMC_BOOT_PERSISTENT", "BMC_BOOT_EFI" };
static const char *words[6];

static void find_words(const char *event, const unsigned char *these)
{
    int valid = these[0] & VALID;

    words[0] = address;
    words[1] = event;
    words[2] = power ? "on" : "off";
    words[3] = device(these);
    words[4] = valid && these[0] & PERSISTENT ? "1" : "0";
    words[5] = valid && these[0] & EFI ? "1" : "0";
}

/* Hooks wait for each other at a lock file, which they do not hand down to what they start. */
static void call_hook(const char *event)
{
    static const char command[] = "exec </dev/null >>\"$0.log\" 2>&1;"
                                  "flock -o \"$0.lock\" \"$1\" \"$2\" \"$0\";"
                                  "echo \"$2: exit code $?\"";
    struct rlimit files;

    /* Twice, so that nobody need wait for its end: ipmi_sim waits for children of its own. */
    pid_t child = fork();
    if (child) {
        waitpid(child, NULL, 0);
        return;
    }
    if (fork())
        _exit(0);
    getrlimit(RLIMIT_NOFILE, &files);
    for (rlim_t file = 3; file < files.rlim_cur && file < 65536; file++)
        close(file); /* the BMC's socket would live on in the machine */
    prctl(PR_SET_PDEATHSIG, 0);
    setsid();
    for (int i = 0; i < 6; i++)
        setenv(names[i], words[i], 1);
    execl("/bin/sh", "sh", "-c", command, state, hook, event, (char *)NULL);
    _exit(127);
}

static void tell(const char *event, const unsigned char *these)
{
    char path[600];
    FILE *file;

    find_words(event, these);
    snprintf(path, sizeof path, "%s.new", state);
    if ((file = fopen(path, "w"))) {
        for (int i = 0; i < 6; i++)
            fprintf(file, "%s=%s\n", names[i], words[i]);
        fclose(file);
        rename(path, state);
    }
    snprintf(path, sizeof path, "%s.events", state);
    if ((file = fopen(path, "a"))) {
        fprintf(file, "%s %s %s %s\n", event, words[3], words[4], words[5]);
        fclose(file);
    }
    if (strcmp(hook, "-"))
        call_hook(event);
}

static void boot(const char *event)
{
    unsigned char these[5];

    forget_in_time();
    memcpy(these, flags, sizeof these);
    if (!(flags[0] & PERSISTENT))
        flags[0] &= ~VALID;
    power = 1;
    tell(event, these);
}

static void status(lmc_data_t *mc, msg_t *msg, unsigned char *r, unsigned int *n, void *data)
{
    r[0] = 0;
    r[1] = 0x60 | is_on();
    r[2] = r[3] = 0;
    *n = 4;
}

static void control(lmc_data_t *mc, msg_t *msg, unsigned char *r, unsigned int *n, void *data)
{
    int on = is_on();

    r[0] = 0;
    *n = 1;
    switch (msg->len ? msg->data[0] & 15 : 255) {
    case 0:
        power = 0;
        if (on)
            tell("off", flags);
        break;
    case 1:
        if (!on)
            boot("on");
        break;
    case 2:
    case 3:
        if (on)
            boot((msg->data[0] & 15) == 2 ? "cycle" : "reset");
        else
            r[0] = 0xd5;
        break;
    case 5:
        if (!on)
            r[0] = 0xd5;
        else {
            if (!strcmp(hook, "-"))
                power = 0;
            tell("soft", flags);
        }
        break;
    default:
        r[0] = 0xcc;
    }
}

static void set_option(lmc_data_t *mc, msg_t *msg, unsigned char *r, unsigned int *n, void *data)
{
    int option = msg->len ? msg->data[0] & 0x7f : 255;

    r[0] = 0;
    *n = 1;
    if (option == 5 && msg->len >= 6) {
        memcpy(flags, msg->data + 1, sizeof flags);
        flags_set = time(NULL);
    } else if (option == 3 && msg->len >= 2)
        clearing = msg->data[1];
    else if (option != 0 && option != 4)
        r[0] = 0x80;
}

static void get_option(lmc_data_t *mc, msg_t *msg, unsigned char *r, unsigned int *n, void *data)
{
    int option = msg->len ? msg->data[0] & 0x7f : 255;

    forget_in_time();
    r[0] = 0;
    r[1] = 1;
    r[2] = option;
    if (option == 5) {
        memcpy(r + 3, flags, sizeof flags);
        *n = 3 + sizeof flags;
    } else if (option == 3 || option == 0) {
        r[3] = option ? clearing : 0;
        *n = 4;
    } else {
        r[0] = 0x80;
        *n = 1;
    }
}

int ipmi_sim_module_print_version(sys_data_t *sys, char *options)
{
    return 0;
}

int ipmi_sim_module_init(sys_data_t *sys, const char *options)
{
    if (sscanf(options, "%63s %511s %511s", address, state, hook) != 3)
        return -1;
    ipmi_emu_register_cmd_handler(0, 1, status, 0);
    ipmi_emu_register_cmd_handler(0, 2, control, 0);
    ipmi_emu_register_cmd_handler(0, 8, set_option, 0);
    ipmi_emu_register_cmd_handler(0, 9, get_option, 0);
    return 0;
}
