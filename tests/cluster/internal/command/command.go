// Package command runs other programs and puts what they printed into the
// error when they fail. It is not for PID 1 of the node, which reaps every
// process itself.
package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Command is a program to run.
type Command struct {
	Dir   string
	Env   []string // added to the caller's environment
	Stdin io.Reader
	Args  []string // the first one is the program
}

// Run runs the program and waits for it. The error names the program and ends
// with what it printed.
func (c Command) Run(ctx context.Context) error {
	_, err := c.Output(ctx)
	return err
}

// Output runs the program and returns what it wrote to stdout.
func (c Command) Output(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(stdout.String() + "\n" + stderr.String())
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(c.Args, " "), err, text)
	}
	return stdout.String(), nil
}

// Run runs a program with no more than arguments.
func Run(ctx context.Context, args ...string) error {
	return Command{Args: args}.Run(ctx)
}
