package remote

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// Irreversible is the refusal of what cannot be undone.
const Irreversible = "this cannot be undone, and there is no terminal to ask on; use --yes"

// Confirm asks the user a question. Without a terminal it returns an error that names the
// flag to use instead.
func (s *Session) Confirm(yes bool, question, refusal string) error {
	if yes {
		return nil
	}
	if !terminal.Interactive(s.In) {
		return exit.Errorf(exit.Usage, "%s", refusal)
	}
	fmt.Fprintf(s.Talk, "%s [y/N] ", question)
	answer, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil {
		fmt.Fprintln(s.Talk)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return exit.Errorf(exit.Failure, "nothing was done")
}
