package locationaccess

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// Credentials are readable by this process only.
const (
	directoryMode = 0o700
	fileMode      = 0o600
)

// writeIfChanged makes the file have that content, in one step.
func writeIfChanged(file string, content []byte) error {
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content) {
		return nil
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, directoryMode); err != nil {
		return err
	}
	partial, err := os.CreateTemp(dir, ".partial-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = partial.Write(content)
	err = errors.Join(err, partial.Chmod(fileMode), partial.Close())
	if err == nil {
		err = os.Rename(partial.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial.Name()))
	}
	return nil
}
