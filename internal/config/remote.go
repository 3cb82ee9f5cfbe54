package config

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback/internal/exit"
)

// localFile is the configuration file in the working directory.
const localFile = "./ringback.yaml"

// LoadRemote reads the settings of a command that talks to a server: URL and APIKey.
func LoadRemote(flags *pflag.FlagSet, environ []string) (Config, error) {
	r := &reader{flags: flags, environ: environ, k: koanf.New("."), places: []string{localFile}}
	if dir, err := os.UserConfigDir(); err == nil {
		r.places = append(r.places, filepath.Join(dir, "ringback", "config.yaml"))
	}
	var c Config
	err := r.layers()
	if err == nil {
		err = r.take(&c, func(s Setting) bool { return s.Remote || s.Key == "api_key" })
	}
	if err == nil {
		err = r.guardKey(c)
	}
	if err != nil {
		return c, exit.Errorf(exit.Usage, "%w", err)
	}
	return c, nil
}

// guardKey refuses to send the user's key to a server that is named only by the file in the
// working directory: the user may have downloaded that file with something else.
func (r *reader) guardKey(c Config) error {
	if r.file.path != localFile || c.APIKey == "" || !r.saidByFile("url") || r.saidByFile("api_key") {
		return nil
	}
	return fmt.Errorf("%s names the server %s, and the API key comes from elsewhere: it is sent there only if you also name the server, "+
		"with --url or RINGBACK_URL", r.file.path, c.URL)
}

// saidByFile reports whether the value of a key comes from the file.
func (r *reader) saidByFile(key string) bool {
	for _, s := range Settings {
		if s.Key == key {
			_, inFile := r.file.lines[key]
			return inFile && r.origin(s) == r.file.where(key)
		}
	}
	return false
}
