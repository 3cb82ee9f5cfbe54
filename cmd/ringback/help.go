package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
)

// usageTemplate has the order of a manual: the usage, the options, and at the end examples
// to copy.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND [FLAGS]{{else}}{{.UseLine}}{{end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{flags .LocalFlags | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableInheritedFlags}}

Flags of every command:
{{flags .InheritedFlags | trimTrailingWhitespaces}}{{end}}
{{- range $title, $text := .Annotations}}

{{$title}}:
{{$text | trimTrailingWhitespaces}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableSubCommands}}

Each command has its own manual: {{.CommandPath}} COMMAND --help{{end}}
`

// helpTemplate is cobra's, without its guess at what is missing.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}{{end}}

{{.UsageString}}`

func setHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("flags", flagsText)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	root.SetVersionTemplate("ringback {{.Version}}\n")
	setCompletion(root)
	root.Annotations = map[string]string{exit.HelpTitle: exit.HelpText(exit.Codes)}
}

// setCompletion adds cobra's command, with our own manual.
func setCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Short = "Print a script that lets a shell complete commands, flags and ids"
		cmd.Long = `Print a script that lets a shell complete commands, flags, and the ids of recent
jobs and dead letters, which it requests from the server.`
		cmd.Example = `  source <(ringback completion bash)                       this bash; in ~/.bashrc: every one
  ringback completion zsh > "${fpath[1]}/_ringback"        zsh
  ringback completion fish > ~/.config/fish/completions/ringback.fish
  ringback completion powershell | Out-String | Invoke-Expression`
	}
}

// flagsText lists flags, each with its description below it.
func flagsText(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		meta, _ := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.Value.Type() != "bool" {
			name += " " + meta
		}
		help := flagHelp(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			help += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&b, "  %s\n", name)
		for _, line := range plain.Wrap(help, 72) {
			fmt.Fprintf(&b, "        %s\n", line)
		}
	})
	return b.String()
}

// flagHelp returns the description of a flag, without the leading name of its value.
func flagHelp(f *pflag.Flag) string {
	meta, help := pflag.UnquoteUsage(f)
	return strings.TrimSpace(strings.TrimPrefix(help, meta))
}

// flagError returns what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	return exit.Errorf(exit.Usage, "%w\nSee: %s --help", err, cmd.CommandPath())
}
