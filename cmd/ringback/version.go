package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is what the binary knows about itself.
type version struct {
	Version  string `json:"version"`            // 1.2.3, or dev
	Revision string `json:"revision,omitempty"` // of the source; + if it was changed
	Time     string `json:"time,omitempty"`     // of the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() version {
	v := version{Version: "dev", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if main := strings.TrimPrefix(info.Main.Version, "v"); main != "(devel)" {
		v.Version = cmp.Or(main, "dev")
	}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.time":
			v.Time = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if v.Revision != "" {
		v.Revision += changed
	}
	return v
}

// String returns one line for people.
func (v version) String() string {
	s := "ringback " + v.Version
	if v.Revision != "" {
		s += fmt.Sprintf(" (revision %s of %s)", v.Revision, v.Time)
	}
	return s + " " + v.Go + " " + v.Platform
}

// userAgent identifies this program in its calls.
func userAgent() string { return "Ringback/" + buildVersion().Version }

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Print the version",
		Long:  "Print the version, the revision of the source, and what it was built with.",
		Example: `  ringback version
  ringback version --json`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := buildVersion()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), v)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
