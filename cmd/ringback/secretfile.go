package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringback/ringback"
)

// secretFile is where serve stores a secret that it made, in the data directory.
const secretFile = "webhook-secret"

// keepSecrets reads the secrets in a file and makes one if there is no file.
func keepSecrets(file string) ([]ringback.Secret, error) {
	secrets, err := readSecrets(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return secrets, err
	}
	s := ringback.NewSecret()
	return []ringback.Secret{s}, writeSecret(file, s)
}

// readSecrets reads the one line of a file, which has the form of WEBHOOK_SECRET.
func readSecrets(file string) ([]ringback.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the webhook secret: %w", err)
	}
	secrets, err := ringback.ParseSecrets(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore the file, or set WEBHOOK_SECRET", file, err)
	}
	return secrets, nil
}

// writeSecret writes the file whole or not at all: a crash leaves no half secret under its
// name, and after success the file survives a crash.
func writeSecret(file string, s ringback.Secret) (err error) {
	dir := filepath.Dir(file)
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the webhook secret: %w; make the directory writable, or set WEBHOOK_SECRET", err)
		}
	}()
	tmp, err := os.CreateTemp(dir, "."+secretFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails if everything went well
	_, err = tmp.WriteString(s.Reveal() + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
