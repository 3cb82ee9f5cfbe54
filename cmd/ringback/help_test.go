package main

import (
	"regexp"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fragment matches a description that continues the value's name, which is on another line.
var fragment = regexp.MustCompile(`^(\W|of |that |to |with |which |for which|after which|under which|is |are |as )`)

func TestTheHelpOfEachFlagIsAPhraseOfItsOwn(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if help := flagHelp(f); fragment.MatchString(help) || help == "" {
				t.Errorf("%s --%s: %q is a fragment", cmd.CommandPath(), f.Name, help)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot(new(bool)))
}
