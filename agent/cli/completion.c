/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion.c - sluicectl completion: what a shell completes, from the table of subcommands.
 *
 * Names and descriptions are written out; the options of a subcommand are asked for when they are wanted, from its own
 * --help, so that nothing has to be said twice.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* Prints the options, and the words that the usage lines show behind the subcommand. */
#define ASK_HELP                                                                                                       \
	"sluicectl \"$1\" --help 2>/dev/null | awk -v c=\"$1\" '\n"                                                    \
	"\t\t{ s = $0; while (match(s, /(^|[^-[:alnum:]])--[a-z][-a-z]*/)) {\n"                                        \
	"\t\t\tw = substr(s, RSTART, RLENGTH); sub(/^[^-]/, \"\", w); print w; s = substr(s, RSTART + RLENGTH) } }\n"  \
	"\t\tmatch($0, \"sluicectl \" c \" [a-z]\") {\n"                                                               \
	"\t\t\ts = substr($0, RSTART + length(\"sluicectl \" c) + 1); sub(/[^-a-z|].*/, \"\", s); gsub(/[|]/, "        \
	"\"\\n\", s); print s }\n"                                                                                     \
	"\t' | sort -u"

static const char bash_head[] = "# bash completion for sluicectl\n"
				"_sluicectl_words() {\n"
				"\t" ASK_HELP "\n"
				"}\n"
				"_sluicectl() {\n"
				"\tlocal word=${COMP_WORDS[COMP_CWORD]} command= i\n"
				"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
				"\t\tcase ${COMP_WORDS[i]} in\n"
				"\t\t-c | --config | --control) ((i++)) ;;\n"
				"\t\t-*) ;;\n"
				"\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
				"\t\tesac\n"
				"\tdone\n"
				"\tif [[ -z $command ]]; then\n"
				"\t\tcase ${COMP_WORDS[COMP_CWORD - 1]} in\n"
				"\t\t-c | --config | --control) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
				"\t\tesac\n"
				"\t\tCOMPREPLY=($(compgen -W '--config --control --help --version";
static const char bash_tail[] = "' -- \"$word\"))\n"
				"\telse\n"
				"\t\tCOMPREPLY=($(compgen -W \"$(_sluicectl_words \"$command\")\" -- \"$word\"))\n"
				"\tfi\n"
				"}\n"
				"complete -o default -F _sluicectl sluicectl\n";

static const char zsh_head[] = "#compdef sluicectl\n"
			       "_sluicectl_words() {\n"
			       "\t" ASK_HELP "\n"
			       "}\n"
			       "_sluicectl() {\n"
			       "\tlocal -a commands\n"
			       "\tcommands=(\n";
static const char zsh_tail[] =
	"\t)\n"
	"\tlocal context state line\n"
	"\t_arguments -C '(-c --config)'{-c,--config}'[configuration]:file:_files' \\\n"
	"\t\t'--control[control socket]:file:_files' '--version[version]' '--help[help]' \\\n"
	"\t\t'1: :->command' '*:: :->rest'\n"
	"\tcase $state in\n"
	"\tcommand) _describe command commands ;;\n"
	"\trest) compadd -- ${(f)\"$(_sluicectl_words $line[1])\"}; _files ;;\n"
	"\tesac\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _sluicectl ]; then _sluicectl \"$@\"; else compdef _sluicectl sluicectl; fi\n";

static const char fish_head[] =
	"# fish completion for sluicectl\n"
	"function __sluicectl_words\n"
	"\tset -l words (commandline -opc)\n"
	"\tfor word in $words[2..]\n"
	"\t\tif not string match -q -- '-*' $word\n"
	"\t\t\tsluicectl $word --help 2>/dev/null | string match -ar -- '(?<![-\\w])--[a-z][-a-z]*'\n"
	"\t\t\tsluicectl $word --help 2>/dev/null | string match -r -- \"sluicectl $word [a-z]+(?:\\|[a-z]+)*\" |\n"
	"\t\t\t\tstring replace \"sluicectl $word \" '' | string split '|'\n"
	"\t\t\treturn\n"
	"\t\tend\n"
	"\tend\n"
	"end\n"
	"complete -c sluicectl -n __fish_use_subcommand -s c -l config -r -d configuration\n"
	"complete -c sluicectl -n __fish_use_subcommand -l control -r -d 'control socket'\n"
	"complete -c sluicectl -n 'not __fish_use_subcommand' -a '(__sluicectl_words)'\n";

/* Within single quotes of every shell here; `special` is what else the place gives a meaning to. */
static void put_quoted(const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (strchr(special, *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

static void put_bash(void)
{
	const char *name, *about;

	fputs(bash_head, stdout);
	for (size_t i = 0; cli_command(i, &name, &about); i++)
		printf(" %s", name);
	fputs(bash_tail, stdout);
}

static void put_zsh(void)
{
	const char *name, *about;

	fputs(zsh_head, stdout);
	for (size_t i = 0; cli_command(i, &name, &about); i++) {
		printf("\t\t'%s:", name);
		put_quoted(about, ":");
		fputs("'\n", stdout);
	}
	fputs(zsh_tail, stdout);
}

static void put_fish(void)
{
	const char *name, *about;

	fputs(fish_head, stdout);
	for (size_t i = 0; cli_command(i, &name, &about); i++) {
		printf("complete -c sluicectl -n __fish_use_subcommand -f -a %s -d '", name);
		put_quoted(about, "");
		fputs("'\n", stdout);
	}
}

static const struct {
	const char *name;
	void (*put)(void);
} shells[] = { { "bash", put_bash }, { "zsh", put_zsh }, { "fish", put_fish } };

int completion_main(int argc, char **argv)
{
	bool help = argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"));

	for (size_t i = 0; argc == 2 && i < sizeof(shells) / sizeof(*shells); i++)
		if (!strcmp(argv[1], shells[i].name)) {
			shells[i].put();
			return 0;
		}
	fputs("usage: sluicectl completion bash|zsh|fish\n"
	      "\n"
	      "Prints a completion for the shell; packages install it. By hand: eval \"$(sluicectl completion "
	      "bash)\"\n",
	      help ? stdout : stderr);
	return help ? 0 : 2;
}
