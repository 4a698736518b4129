package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// called is a cluster that knows who calls it and answers for the server's status.
func called(name string) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			switch o := obj.(type) {
			case *authenticationv1.SelfSubjectReview:
				o.Status.UserInfo.Username = name
				if name == "" {
					return apierrors.NewForbidden(velerov1.Resource("x"), "", errors.New("no"))
				}
				return nil
			case *velerov1.ServerStatusRequest:
				o.Status = velerov1.ServerStatusRequestStatus{
					Phase: velerov1.ServerStatusRequestPhaseProcessed, ServerVersion: "v1.2.3",
					Plugins: []velerov1.PluginInfo{{Name: "velero.io/pod", Kind: "RestoreItemAction"}},
				}
			}
			return c.Create(ctx, obj, opts...)
		},
	}
}

func aBackup(name string, phase velerov1.BackupPhase) *velerov1.Backup {
	b := &velerov1.Backup{ObjectMeta: object(name), Status: velerov1.BackupStatus{Phase: phase}}
	b.UID = "uid-of-" + b.UID
	b.Labels = map[string]string{"phase": string(phase)}
	return b
}

func TestDeleteBackups(t *testing.T) {
	t.Parallel()
	said := func(name string) string {
		return "Request to delete backup \"" + name + "\" submitted successfully.\n" +
			"The backup will be fully deleted after all associated data (disk snapshots, backup files, restores) are removed.\n"
	}
	question := "This will delete 1 backups: one\nAre you sure you want to continue (Y/N)? "
	tests := map[string]struct {
		in   string
		args []string
		want output
		made []string
	}{
		"one, after a question":       {"y\n", []string{"one"}, output{out: question + said("one")}, []string{"one"}},
		"one, after a strange answer": {"what\nY\n", []string{"one"}, output{out: question + question + said("one")}, []string{"one"}},
		"none, after a question":      {"n\n", []string{"one"}, output{out: question}, nil},
		"none, when nobody answers": {
			"", []string{"one"}, output{out: question, err: "podkeep: nobody has answered; pass --confirm to go on without a question\n", code: exitFailed}, nil,
		},
		"all":         {"", []string{"--all", "--confirm"}, output{out: said("one") + said("two")}, []string{"one", "two"}},
		"by selector": {"", []string{"-l", "phase=Failed", "--confirm"}, output{out: said("two")}, []string{"two"}},
		"no match":    {"", []string{"-l", "phase=New", "--confirm"}, output{out: "No backups found\n"}, nil},
		"one that is there and one that is not": {"", []string{"x", "one", "--confirm"}, output{
			out: said("one"), err: "podkeep: backup \"x\" not found in namespace velero; list backups with: podkeep backup get\n", code: exitFailed,
		}, []string{"one"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c := apiWith(t, noFuncs, aBackup("one", velerov1.BackupPhaseCompleted), aBackup("two", velerov1.BackupPhaseFailed))

			got := newSession(c).runWith(t.Context(), tc.in, append([]string{"backup", "delete"}, tc.args...)...)

			g.Expect(got).To(Equal(tc.want))
			requests := &velerov1.DeleteBackupRequestList{}
			g.Expect(c.List(t.Context(), requests)).To(Succeed())
			var names []string
			for _, r := range requests.Items {
				names = append(names, r.Spec.BackupName)
				g.Expect(r.Labels).To(Equal(map[string]string{velerov1.BackupNameLabel: r.Spec.BackupName, velerov1.BackupUIDLabel: "uid-of-"}))
			}
			g.Expect(names).To(ConsistOf(tc.made))
		})
	}
}

func TestDeleteOthers(t *testing.T) {
	t.Parallel()
	ofLocation := map[string]string{velerov1.StorageLocationLabel: "default"}
	b, r := aBackup("b", velerov1.BackupPhaseCompleted), &velerov1.BackupRepository{ObjectMeta: object("r")}
	b.Labels, r.Labels = ofLocation, ofLocation
	objects := []client.Object{
		b, r, aBackup("stays", velerov1.BackupPhaseCompleted), &velerov1.Restore{ObjectMeta: object("back")}, &velerov1.Schedule{ObjectMeta: object("nightly")},
		&velerov1.BackupStorageLocation{ObjectMeta: object("default")},
	}
	tests := map[string]struct {
		args []string
		want string
		gone []client.Object
	}{
		"a restore": {[]string{"restore", "delete", "back"}, "Request to delete restore \"back\" submitted successfully.\n" +
			"The restore will be fully deleted after all associated data (restore files in object storage) are removed.\n", objects[3:4]},
		"a schedule": {[]string{"delete", "schedule", "nightly"}, "Schedule deleted: nightly\n", objects[4:5]},
		"a location, with what is known of it": {
			[]string{"backup-location", "delete", "default"}, "Backup storage location \"default\" deleted successfully.\n" +
				"Backup associated with deleted BSL(s) \"b\" deleted successfully.\nBackup repository associated with deleted BSL(s) \"r\" deleted successfully.\n",
			[]client.Object{b, r, objects[5]},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c := apiWith(t, noFuncs, copies(objects)...)

			got := podkeep(t.Context(), c, append(tc.args, "--confirm")...)

			g.Expect(got).To(Equal(output{out: tc.want}))
			for _, obj := range copies(tc.gone) {
				g.Expect(apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))).To(BeTrue(), obj.GetName())
			}
			g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "stays"}, &velerov1.Backup{})).To(Succeed())
		})
	}
}

func copies(objects []client.Object) []client.Object {
	var list []client.Object
	for _, o := range objects {
		list = append(list, o.DeepCopyObject().(client.Object))
	}
	return list
}

func TestCancel(t *testing.T) {
	t.Parallel()
	asked := aBackup("asked", velerov1.BackupPhaseInProgress)
	asked.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "somebody"}
	objects := []client.Object{
		aBackup("running", velerov1.BackupPhaseInProgress), aBackup("queued", velerov1.BackupPhaseQueued), asked,
		aBackup("ended", velerov1.BackupPhaseCompleted), &velerov1.Restore{ObjectMeta: object("back")},
	}
	said := func(kind, name string) string {
		return "Request to cancel " + kind + " \"" + name + "\" submitted successfully.\nLook at it with: podkeep " + kind + " describe " + name + "\n"
	}
	tests := map[string]struct {
		args []string
		want output
		by   map[string]string
	}{
		"a backup":  {[]string{"backup", "cancel", "running"}, output{out: said("backup", "running")}, map[string]string{"running": "admin"}},
		"a restore": {[]string{"cancel", "restores", "back"}, output{out: said("restore", "back")}, map[string]string{"back": "admin"}},
		"a backup that somebody has canceled": {
			[]string{"backup", "cancel", "asked"}, output{out: "Backup \"asked\" is being canceled already, by somebody.\n"}, map[string]string{"asked": "somebody"},
		},
		"a backup that has ended": {[]string{"backup", "cancel", "ended"}, output{
			err: "podkeep: backup \"ended\" is Completed already; there is nothing to cancel\n", code: exitFailed,
		}, nil},
		"all that have not ended": {
			[]string{"backup", "cancel", "--all", "--confirm"},
			output{out: "Backup \"asked\" is being canceled already, by somebody.\n" + said("backup", "queued") + said("backup", "running")},
			map[string]string{"running": "admin", "queued": "admin"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c := apiWith(t, called("admin"), copies(objects)...)

			got := podkeep(t.Context(), c, tc.args...)

			g.Expect(got).To(Equal(tc.want))
			for _, obj := range copies(objects) {
				g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)).To(Succeed())
				if by, ok := tc.by[obj.GetName()]; ok {
					g.Expect(obj.GetAnnotations()[velerov1.CancelRequestedByAnnotation]).To(Equal(by))
				}
			}
		})
	}
}

func TestCancelNamesTheCommandWhereTheClusterNamesNobody(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, called(""), aBackup("running", velerov1.BackupPhaseInProgress))

	g.Expect(podkeep(t.Context(), c, "backup", "cancel", "running").code).To(Equal(exitOK))

	b := &velerov1.Backup{}
	g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "running"}, b)).To(Succeed())
	g.Expect(b.Annotations).To(HaveKeyWithValue(velerov1.CancelRequestedByAnnotation, "podkeep backup cancel"))
}

func TestCancelWaits(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, watched(end(g, velerov1.BackupPhaseFailed)), aBackup("x", velerov1.BackupPhaseInProgress))

	got := podkeep(t.Context(), c, "backup", "cancel", "x", "--wait")

	g.Expect(got.err).To(BeEmpty())
	g.Expect(got.code).To(Equal(exitOK), "it is what was asked for")
	g.Expect(got.out).To(ContainSubstring("\nBackup completed with status: Failed.\n"))
}

func TestPause(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args   []string
		want   string
		paused bool
		skip   *bool
	}{
		"a schedule":                       {[]string{"pause", "on"}, "Schedule on paused successfully\n", true, nil},
		"a schedule that is paused":        {[]string{"pause", "off"}, "Schedule off is already paused, skip\n", true, ptr.To(true)},
		"no more":                          {[]string{"unpause", "off"}, "Schedule off unpaused successfully\n", false, nil},
		"no more, without the next backup": {[]string{"unpause", "off", "--skip-immediately", "false"}, "Schedule off unpaused successfully\n", false, ptr.To(false)},
		"all":                              {[]string{"pause", "--all"}, "Schedule off is already paused, skip\nSchedule on paused successfully\n", true, ptr.To(true)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			off := &velerov1.Schedule{ObjectMeta: object("off"), Spec: velerov1.ScheduleSpec{Paused: true, SkipImmediately: ptr.To(true)}}
			c := apiWith(t, noFuncs, off, &velerov1.Schedule{ObjectMeta: object("on")})

			got := podkeep(t.Context(), c, append([]string{"schedule"}, tc.args...)...)

			g.Expect(got).To(Equal(output{out: tc.want}))
			name := tc.args[1]
			if name == "--all" {
				name = "off"
			}
			s := &velerov1.Schedule{}
			g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: name}, s)).To(Succeed())
			g.Expect(s.Spec.Paused).To(Equal(tc.paused))
			g.Expect(s.Spec.SkipImmediately).To(Equal(tc.skip))
		})
	}
}

func TestSetLocation(t *testing.T) {
	t.Parallel()
	certificates := filepath.Join(t.TempDir(), "ca.crt")
	NewWithT(t).Expect(os.WriteFile(certificates, []byte("new"), 0o600)).To(Succeed())
	tests := map[string]struct {
		args      []string
		ca        string
		isDefault bool
		err       string
	}{
		"nothing":         {nil, "old", true, ""},
		"certificates":    {[]string{"--cacert", certificates}, "new", true, ""},
		"no certificates": {[]string{"--cacert="}, "", true, ""},
		"not the default": {[]string{"--default=false"}, "old", false, ""},
		"a second default": {
			[]string{"--default"}, "old", false,
			"podkeep: --default: first is the default location already; end that first with: podkeep backup-location set first --default=false\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			storage := velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{CACert: []byte("old")}}
			first := &velerov1.BackupStorageLocation{ObjectMeta: object("first"), Spec: velerov1.BackupStorageLocationSpec{Default: true, StorageType: storage}}
			second := &velerov1.BackupStorageLocation{ObjectMeta: object("second"), Spec: velerov1.BackupStorageLocationSpec{StorageType: storage}}
			c, l := apiWith(t, noFuncs, first, second), first
			if tc.err != "" {
				l = second
			}

			got := podkeep(t.Context(), c, append([]string{"backup-location", "set", l.Name}, tc.args...)...)

			g.Expect(got.err).To(Equal(tc.err))
			g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(l), l)).To(Succeed())
			g.Expect(string(l.Spec.ObjectStorage.CACert)).To(Equal(tc.ca))
			g.Expect(l.Spec.Default).To(Equal(tc.isDefault))
		})
	}
}

func TestCredentialsOfLocations(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := &velerov1.BackupStorageLocation{ObjectMeta: object("x")}
	v := &velerov1.VolumeSnapshotLocation{ObjectMeta: object("x")}
	c := apiWith(t, noFuncs, l, v)

	g.Expect(podkeep(t.Context(), c, "backup-location", "set", "x", "--credential", "a=b").out).
		To(HavePrefix("Backup storage location \"x\" configured successfully.\n"))
	g.Expect(podkeep(t.Context(), c, "snapshot-location", "set", "x", "--credential", "a=b")).
		To(Equal(output{out: "Volume snapshot location \"x\" configured successfully.\n"}))

	g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(l), l)).To(Succeed())
	g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(v), v)).To(Succeed())
	g.Expect(l.Spec.Credential.Name).To(Equal("a"))
	g.Expect(v.Spec.Credential.Key).To(Equal("b"))
}

func TestOnlyTheDefaultLocation(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	first := &velerov1.BackupStorageLocation{ObjectMeta: object("first"), Spec: velerov1.BackupStorageLocationSpec{Default: true}}
	c := apiWith(t, noFuncs, first, &velerov1.BackupStorageLocation{ObjectMeta: object("second")})

	got := podkeep(t.Context(), c, "backup-location", "get", "--default")

	g.Expect(got.out).To(ContainSubstring("first"))
	g.Expect(got.out).NotTo(ContainSubstring("second"))
}

func TestBackupFromSchedule(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	schedule := &velerov1.Schedule{ObjectMeta: object("nightly"), Spec: velerov1.ScheduleSpec{
		UseOwnerReferencesInBackup: ptr.To(true), Template: velerov1.BackupSpec{IncludedNamespaces: []string{"shop"}, TTL: metav1.Duration{Duration: time.Hour}},
	}}
	schedule.Labels, schedule.Annotations = map[string]string{"team": "shop"}, map[string]string{"why": "habit", corev1.LastAppliedConfigAnnotation: "x"}
	c := apiWith(t, noFuncs, schedule)
	s := newSession(c)
	s.clock = localTime{clock.RealClock{}, time.Date(2026, 11, 22, 9, 30, 0, 0, time.FixedZone("", 3600))}

	got := s.run(t.Context(), "backup", "create", "--from-schedule", "nightly", "--labels", "a=b", "--ttl", "5h")

	g.Expect(got.err).To(Equal("ignored, because the schedule says what to back up: --ttl\n"))
	g.Expect(got.out).To(HavePrefix("Creating backup from schedule, all other filters are ignored.\n" +
		"Backup request \"nightly-20261122083000\" submitted successfully.\n"))
	b := &velerov1.Backup{}
	g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "nightly-20261122083000"}, b)).To(Succeed())
	g.Expect(b.Spec).To(Equal(schedule.Spec.Template))
	g.Expect(b.Labels).To(Equal(map[string]string{"team": "shop", "a": "b", velerov1.ScheduleNameLabel: "nightly"}))
	g.Expect(b.Annotations).To(Equal(map[string]string{"why": "habit"}))
	g.Expect(b.OwnerReferences).To(HaveLen(1))
	g.Expect(b.OwnerReferences[0].Kind).To(Equal("Schedule"))
}

func TestRestoreFromSchedule(t *testing.T) {
	t.Parallel()
	made := func(name string, phase velerov1.BackupPhase, hour int) *velerov1.Backup {
		b := aBackup(name, phase)
		b.Labels = map[string]string{velerov1.ScheduleNameLabel: "nightly"}
		b.Status.StartTimestamp = &metav1.Time{Time: time.Date(2026, 11, 22, hour, 0, 0, 0, time.UTC)}
		return b
	}
	tests := map[string]struct {
		args             []string
		backup, schedule string
		err              string
	}{
		"the server chooses":                  {nil, "", "nightly", ""},
		"the newest one that can be restored": {[]string{"--allow-partially-failed"}, "third", "", ""},
		"a schedule without backups": {
			[]string{"--from-schedule", "weekly"}, "", "", "podkeep: schedule \"weekly\" has no backups; list backups with: podkeep backup get\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c := apiWith(t, noFuncs, made("first", velerov1.BackupPhaseCompleted, 1), made("second", velerov1.BackupPhaseCompleted, 2),
				made("third", velerov1.BackupPhasePartiallyFailed, 3), made("fourth", velerov1.BackupPhaseFailed, 4))

			got := podkeep(t.Context(), c, append([]string{"restore", "create", "r", "--from-schedule", "nightly"}, tc.args...)...)

			g.Expect(got.err).To(Equal(tc.err))
			if tc.err != "" {
				return
			}
			r := &velerov1.Restore{}
			g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "r"}, r)).To(Succeed())
			g.Expect(r.Spec.BackupName).To(Equal(tc.backup))
			g.Expect(r.Spec.ScheduleName).To(Equal(tc.schedule))
		})
	}
}

func TestWhatABackupNamesMustExist(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := podkeep(t.Context(), apiWith(t, noFuncs), "backup", "create", "x", "--storage-location", "elsewhere")

	g.Expect(got.err).To(Equal("podkeep: backup storage location \"elsewhere\" not found in namespace velero; " +
		"list backup storage locations with: podkeep backup-location get\n"))
}

func TestVersion(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := podkeep(t.Context(), apiWith(t, called("admin"), server("velero")), "version")
	silent := podkeep(t.Context(), apiWith(t, noFuncs, server("velero")), "version", "--timeout", "10ms")
	alone := podkeep(t.Context(), apiWith(t, noFuncs), "version")
	offline := podkeep(t.Context(), nil, "version", "--client-only")

	g.Expect(got.out).To(HavePrefix("Client:\n\tVersion: dev\n\tGit commit: "))
	g.Expect(got.out).To(HaveSuffix("Server:\n\tVersion: v1.2.3\n"))
	g.Expect(silent.out).To(ContainSubstring("<error getting server version: the server has not answered within 10ms; look at it with: kubectl get pods -n velero>"))
	g.Expect(alone.out).To(ContainSubstring("<error getting server version: there is no server in namespace velero; install podkeep with: podkeep install>"))
	g.Expect(alone.code).To(Equal(exitOK))
	g.Expect(offline.out).NotTo(ContainSubstring("erver"))
}

func TestDifferentVersionsAreAWarning(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(versionWarning("v1.2.3", "v1.3.0")).To(Equal("# WARNING: the client version does not match the server version. Please update client\n"))
	g.Expect(versionWarning("v1.2.3", "v0.9.0")).To(Equal("# WARNING: the client version does not match the server version. Please update server\n"))
	g.Expect(versionWarning("v1.2.3", "v1.2.4")).To(BeEmpty(), "the last number does not count")
	g.Expect(versionWarning("v1.2.3", "abcdef")).To(BeEmpty())
	g.Expect(versionWarning("dev", "v1.2.3")).To(BeEmpty(), "what was built without a version cannot be compared")
}

func TestPlugins(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, called("admin"))

	g.Expect(podkeep(t.Context(), c, "plugin", "get").out).To(Equal("NAME            KIND\nvelero.io/pod   RestoreItemAction\n"))
	g.Expect(podkeep(t.Context(), c, "get", "plugins", "-o", "json").out).To(ContainSubstring(`"kind": "ServerStatusRequest"`))
	g.Expect(podkeep(t.Context(), apiWith(t, noFuncs), "plugin", "get", "--timeout", "10ms").out).To(HavePrefix("<error getting plugin information: "))
}

func TestClientConfiguration(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := newSession(nil)
	s.config = clientConfig{file: filepath.Join(t.TempDir(), "a", "b", "config.json")}
	config := func(args ...string) output {
		return s.run(t.Context(), append([]string{"client", "config"}, args...)...)
	}

	g.Expect(config("get")).To(Equal(output{}))
	g.Expect(config("set", "namespace=backups", "features=EnableCSI,x", "cacert=/a=b")).To(Equal(output{}))
	g.Expect(config("get")).To(Equal(output{out: "cacert: /a=b\nfeatures: EnableCSI,x\nnamespace: backups\n"}))
	g.Expect(config("set", "features=", "colorized=false")).To(Equal(output{}))
	g.Expect(config("get", "features", "colorized")).To(Equal(output{out: "features: <NOT SET>\ncolorized: false\n"}))
	g.Expect(config("set", "namespace=x", "color=blue").err).To(Equal("podkeep: \"color\" is no key of the client configuration; " +
		"keys are namespace, features, cacert, colorized\n"))
	g.Expect(config("set", "namespace").err).To(Equal("podkeep: \"namespace\" must be KEY=VALUE\n"))
	g.Expect(config("get", "namespace")).To(Equal(output{out: "namespace: backups\n"}), "a wrong pair changes nothing")
}

func TestConfigurationOfTheFactory(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write := func(text string) {
		NewWithT(t).Expect(os.MkdirAll(filepath.Join(home, ".config", "velero"), 0o700)).To(Succeed())
		NewWithT(t).Expect(os.WriteFile(filepath.Join(home, ".config", "velero", "config.json"), []byte(text), 0o600)).To(Succeed())
	}
	env := map[string]string{"HOME": home, "VELERO_NAMESPACE": "of-environment"}
	f := newFactory(func(name string) string { return env[name] })
	g := NewWithT(t)

	g.Expect(f.Namespace()).To(Equal("of-environment"))
	g.Expect(f.wantColor()).To(BeTrue())
	env["NO_COLOR"] = "1"
	g.Expect(f.wantColor()).To(BeFalse())
	delete(env, "NO_COLOR")
	write(`{"namespace": "of-file", "colorized": "false"}`)
	g.Expect(f.Namespace()).To(Equal("of-file"))
	g.Expect(f.wantColor()).To(BeFalse())
	f.namespace, f.colorized.value = "of-flag", ptr.To(true)
	g.Expect(f.Namespace()).To(Equal("of-flag"))
	g.Expect(f.wantColor()).To(BeTrue())
	f.namespace = ""
	write(`{`)
	_, err := f.Namespace()
	g.Expect(err).To(MatchError(ContainSubstring("mend or remove the file")))
}
