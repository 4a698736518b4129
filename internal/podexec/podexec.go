// Package podexec runs a command in a container of a pod, through the API server.
//
// It uses a WebSocket and falls back to SPDY for API servers before v1.31. Output
// is bounded: of stdout and of stderr the last MaxOutputBytes are kept, the rest is
// read and counted only, so that a command that prints for ever neither fills the
// memory nor stops for a full pipe. A command whose time is over is not waited for
// any longer, but nobody ends it: Kubernetes has no call for that.
package podexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// MaxOutputBytes is how much of stdout, and of stderr, is kept: enough for the
// error of a failed command, and little enough that the outputs of the hooks of
// several hundred pods fit into one object of the API.
const MaxOutputBytes = 1024

// Command is what is to be run.
type Command struct {
	Namespace string
	Pod       string
	Container string

	// Args are the program and its arguments; it is not run in a shell.
	Args []string

	// Timeout bounds the run; it must be more than zero.
	Timeout time.Duration
}

// Output is what a command printed.
type Output struct {
	Stdout string
	Stderr string
}

// TimeoutError is the error of a command that took longer than it may. It may run
// on.
type TimeoutError struct{ Timeout time.Duration }

// Error is Velero's text (velero-facts §3.4).
func (e *TimeoutError) Error() string { return fmt.Sprintf("timed out after %s", e.Timeout) }

// ExitError is the error of a command that ended with another code than 0.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("command ended with exit code %d", e.Code) }

// Executor runs commands in the pods of one cluster. It is safe for concurrent use.
type Executor struct {
	config *rest.Config
	client *rest.RESTClient
}

// New returns an executor for the cluster of a configuration.
func New(config *rest.Config) (*Executor, error) {
	c := rest.CopyConfig(config)
	c.APIPath = "/api"
	c.GroupVersion = &corev1.SchemeGroupVersion
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("making the client that runs commands: %w", err)
	}
	return &Executor{config: c, client: client}, nil
}

// Run runs a command and waits for its end. What it printed is returned with an
// error too. It returns a *TimeoutError when the time was over, an *ExitError when
// the command failed, the cause of ctx when that ended first, and any other error
// when the command could not be run, or when nobody knows how it ended.
func (e *Executor) Run(ctx context.Context, c Command) (Output, error) {
	stream, err := e.open(c)
	if err != nil {
		return Output{}, fmt.Errorf("preparing the command: %w", err)
	}
	timeout := &TimeoutError{Timeout: c.Timeout}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, timeout)
	defer cancel()
	stdout, stderr := &tail{limit: MaxOutputBytes}, &tail{limit: MaxOutputBytes}
	err = stream.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: stderr})
	return Output{Stdout: stdout.String(), Stderr: stderr.String()}, explain(ctx, err)
}

// deadlineSkew is how much later than a connection the context may end that gave
// it its deadline.
const deadlineSkew = 100 * time.Millisecond

// explain turns an error of the connection into one of Run.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[utilexec.ExitError](err); ok {
		return &ExitError{Code: exit.ExitStatus()}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// A connection takes over the deadline of ctx, and may notice it first.
		select {
		case <-ctx.Done():
		case <-time.After(deadlineSkew):
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("running the command: %w", err)
}

// open makes the connection's two ways. Both are cheap until they are used.
func (e *Executor) open(c Command) (remotecommand.Executor, error) {
	url := e.client.Post().Namespace(c.Namespace).Resource("pods").Name(c.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: c.Container, Command: c.Args, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	socket, err := remotecommand.NewWebSocketExecutor(e.config, "GET", url.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(e.config, "POST", url)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}
