package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// output is what a command leaves behind.
type output struct {
	out  string
	err  string // standard error, as main prints errors
	code int
}

// localTime is a clock whose Now does not change with the machine's.
type localTime struct {
	clock.WithTickerAndDelayedExecution
	now time.Time
}

func (l localTime) Now() time.Time { return l.now }

// podkeep runs the client against a cluster.
func podkeep(ctx context.Context, c client.WithWatch, args ...string) output {
	return newSession(c).run(ctx, args...)
}

// newSession is a client outside of a terminal, without a configuration.
func newSession(c client.WithWatch) *session {
	return &session{
		program:   programName,
		connect:   func() (client.WithWatch, error) { return c, nil },
		namespace: func() (string, error) { return "velero", nil },
		home:      func() (string, error) { return "velero", nil },
		current:   func() (string, error) { return "default", nil },
		clock:     clock.RealClock{},
		terminal:  func(io.Writer) *terminal { return nil },
		api:       func() (apiServer, error) { return apiServer{}, errors.New("no plain requests in this test") },
		contexts:  func() []string { return nil },
		wantColor: func() bool { return false },
		config:    clientConfig{file: "/does/not/exist"},
	}
}

func (s *session) run(ctx context.Context, args ...string) output {
	return s.runWith(ctx, "", args...)
}

// runWith runs a command with a standard input.
func (s *session) runWith(ctx context.Context, in string, args ...string) output {
	root := &cobra.Command{Use: "podkeep", SilenceUsage: true, SilenceErrors: true}
	root.AddGroup(&cobra.Group{ID: groupClient})
	root.AddCommand(s.commands()...)
	var out, err bytes.Buffer
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(&err)
	code := run(ctx, root, args)
	return output{out: out.String(), err: err.String(), code: code}
}

// apiWith is a cluster with objects, whose answers a test may replace.
func apiWith(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := newScheme()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	name := func(o client.Object) []string { return []string{o.GetName()} }
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&velerov1.Backup{}, "metadata.name", name).
		WithIndex(&velerov1.Restore{}, "metadata.name", name).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				obj.SetUID(types.UID("uid-of-" + obj.GetName()))
				return c.Create(ctx, obj, opts...)
			},
		}).Build()
	return fakeCluster{interceptor.NewClient(c, funcs)}
}

// fakeCluster says what the fake client cannot do.
type fakeCluster struct{ client.WithWatch }

func (fakeCluster) IsWatchListSemanticsUnSupported() bool { return true }

func server(namespace string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: "velero", Namespace: namespace, Labels: map[string]string{velerov1.ComponentLabel: velerov1.ComponentLabelValue},
		},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "velero", Image: "registry.example.com:5000/podkeep:v1.2.3@sha256:0"}},
		}}},
	}
}

// refusing answers every reading request with an error.
func refusing(err error) interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return err
		},
		List: func(_ context.Context, c client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			if _, ok := list.(*appsv1.DeploymentList); ok {
				return errors.New("hints are not for everybody")
			}
			return err
		},
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return err },
	}
}

func TestErrorsNameTheNextStep(t *testing.T) {
	t.Parallel()
	backupResource := velerov1.Resource("backups")
	tests := map[string]struct {
		funcs   interceptor.Funcs
		objects []client.Object
		args    []string
		want    string
	}{
		"a backup that does not exist": {
			args: []string{"backup", "get", "x"},
			want: `podkeep: backup "x" not found in namespace velero; list backups with: podkeep backup get`,
		},
		"a restore that does not exist": {
			args: []string{"describe", "restore", "x"},
			want: `podkeep: restore "x" not found in namespace velero; list restores with: podkeep restore get`,
		},
		"a restore from a backup that does not exist": {
			args: []string{"restore", "create", "--from-backup", "x"},
			want: `podkeep: backup "x" not found in namespace velero; list backups with: podkeep backup get`,
		},
		"an installation in another namespace": {
			objects: []client.Object{server("backups")},
			args:    []string{"backup", "get", "x"},
			want:    `podkeep: backup "x" not found in namespace velero; podkeep is not installed there but in backups: pass -n backups`,
		},
		"no installation at all": {
			funcs: refusing(&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "velero.io", Kind: "Backup"}}),
			args:  []string{"backup", "get"},
			want:  `podkeep: podkeep is not installed in this cluster; install it with: podkeep install`,
		},
		"definitions that went away": {
			funcs: refusing(apierrors.NewGenericServerResponse(404, "get", backupResource, "", "", 0, true)),
			args:  []string{"backup", "get"},
			want:  `podkeep: podkeep is not installed in this cluster; install it with: podkeep install`,
		},
		"a namespace that does not exist": {
			funcs: refusing(apierrors.NewNotFound(corev1.Resource("namespaces"), "velero")),
			args:  []string{"backup", "create", "x"},
			want:  `podkeep: namespace "velero" does not exist; install podkeep with: podkeep install`,
		},
		"a name that is taken": {
			objects: []client.Object{&velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "x"}}},
			args:    []string{"backup", "create", "x"},
			want:    `podkeep: backup "x" already exists; choose another name, or look at it with: podkeep backup describe x`,
		},
		"a user without rights": {
			funcs: refusing(apierrors.NewForbidden(backupResource, "", errors.New("no"))),
			args:  []string{"backup", "get"},
			want:  `podkeep: backups.velero.io is forbidden: no; see what you may do with: kubectl auth can-i --list -n velero`,
		},
		"a second default location": {
			objects: []client.Object{&velerov1.BackupStorageLocation{
				ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "first"}, Spec: velerov1.BackupStorageLocationSpec{Default: true},
			}},
			args: []string{"backup-location", "create", "second", "--provider", "aws", "--bucket", "b", "--default"},
			want: `podkeep: --default: first is the default location already; end that first with: ` +
				`podkeep backup-location set first --default=false`,
		},
		"a flag that does not exist": {
			args: []string{"backup", "create", "x", "--paint"},
			want: `podkeep: unknown flag: --paint; list the flags with: podkeep backup create --help`,
		},
		"a command that does not exist": {
			args: []string{"backup", "paint"},
			want: `podkeep: unknown command "podkeep backup paint"; list the commands with: podkeep backup --help`,
		},
		"a backup without a name": {
			args: []string{"backup", "create"},
			want: `podkeep: 0 names given, 1 wanted; name the backup: podkeep backup create [NAME] [flags]`,
		},
		"a restore without a backup": {
			args: []string{"restore", "create"},
			want: `podkeep: --from-backup: Required value: name the backup, or a schedule with --from-schedule; list backups with: podkeep backup get`,
		},
		"an unknown format": {
			args: []string{"get", "backups", "-o", "wide"},
			want: `podkeep: --output: Unsupported value: "wide": supported values: table, json, yaml`,
		},
		"names and a selector": {
			args: []string{"get", "backups", "x", "-l", "a=b"},
			want: `podkeep: names and --selector exclude each other; leave one of them out`,
		},
		"printing and waiting": {
			args: []string{"backup", "create", "x", "-o", "yaml", "--wait"},
			want: `podkeep: --output and --wait exclude each other: with --output nothing is created`,
		},
		"an unknown shell": {
			args: []string{"completion", "tcsh"},
			want: `podkeep: shell "tcsh" is not supported; use one of bash, zsh, fish, powershell`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), apiWith(t, tc.funcs, tc.objects...), tc.args...)

			g.Expect(got.err).To(Equal(tc.want + "\n"))
			g.Expect(got.out).To(BeEmpty())
			g.Expect(got.code).To(Equal(exitFailed))
		})
	}
}

func TestCommandsNameTheirNamespace(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(commandFor("podkeep", "velero")).To(Equal("podkeep"))
	g.Expect(commandFor("kubectl podkeep", "backups")).To(Equal("kubectl podkeep -n backups"))
}

func TestAnEmptyListIsNoFailure(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := podkeep(t.Context(), apiWith(t, interceptor.Funcs{}, server("backups")), "get", "backups")

	g.Expect(got).To(Equal(output{
		err: "no backups in namespace velero; podkeep is not installed there but in backups: pass -n backups\n",
	}))
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), nil, "completion", shell)

			g.Expect(got.code).To(Equal(exitOK))
			g.Expect(got.out).To(ContainSubstring("podkeep"))
		})
	}
}
