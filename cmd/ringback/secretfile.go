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

// secretFile is where serve keeps a secret that it made, in the data directory.
const secretFile = "webhook-secret"

// keepSecret reads the secret in a file and makes one where there is no file. It
// returns true if it made it.
func keepSecret(file string) (ringback.Secret, bool, error) {
	s, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, false, err
	}
	s = ringback.NewSecret()
	return s, true, writeSecret(file, s)
}

func readSecret(file string) (ringback.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return ringback.Secret{}, fmt.Errorf("read the webhook secret: %w", err)
	}
	s, err := ringback.ParseSecret(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return s, fmt.Errorf("%s: %w; restore the file, or remove it to have a new secret made", file, err)
	}
	return s, nil
}

// writeSecret writes the file whole or not at all: a crash leaves no half secret
// under its name, and after success it survives one.
func writeSecret(file string, s ringback.Secret) (err error) {
	dir := filepath.Dir(file)
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the webhook secret: %w", err)
		}
	}()
	tmp, err := os.CreateTemp(dir, "."+secretFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it is gone when all went well
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
