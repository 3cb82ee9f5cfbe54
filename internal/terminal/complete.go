package terminal

import "github.com/spf13/cobra"

// CompleteWords lets the shell complete flags with a fixed set of values, by their names.
func CompleteWords(cmd *cobra.Command, words map[string][]string) {
	for flag, list := range words {
		err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
		if err != nil {
			panic(err) // there is no such flag
		}
	}
}
