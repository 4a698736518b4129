package hooks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// pod has the containers app and sidecar, the init container proxy that stays up,
// and setup, which does not. Annotations are keys and values in turn.
func pod(annotations ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", Labels: map[string]string{"app": "db"}, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app"}, {Name: "sidecar"}},
			InitContainers: []corev1.Container{
				{Name: "setup"}, {Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
			},
		},
	}
	for i := 0; i+1 < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	return p
}

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }

func TestAnnotationsOfBackups(t *testing.T) {
	t.Parallel()
	pre, post := velerov1.PreBackupHookCommandAnnotation, velerov1.PostBackupHookCommandAnnotation
	hook := func(stage Stage, command ...string) Hook {
		return Hook{Stage: stage, Source: FromAnnotation, Container: "app", Command: command, Timeout: seconds(30)}
	}
	for name, tc := range map[string]struct {
		pod      *corev1.Pod
		want     []Hook
		warnings []string
	}{
		"none":                     {pod: pod()},
		"one word with its spaces": {pod: pod(pre, "/bin/sync all"), want: []Hook{hook(Pre, "/bin/sync all")}},
		"an array":                 {pod: pod(post, ` ["sh", "-c", "echo \"x\""]`), want: []Hook{hook(Post, "sh", "-c", `echo "x"`)}},
		"both": {
			pod:  pod(pre, "freeze", post, "thaw"),
			want: []Hook{hook(Pre, "freeze"), hook(Post, "thaw")},
		},
		"all settings": {
			pod: pod(post, "x", velerov1.PostBackupHookContainerAnnotation, "proxy", velerov1.PostBackupHookOnErrorAnnotation, "Fail",
				velerov1.PostBackupHookTimeoutAnnotation, "2m"),
			want: []Hook{{Stage: Post, Source: FromAnnotation, Container: "proxy", Command: []string{"x"}, OnError: "Fail", Timeout: seconds(120)}},
		},
		"the key without a stage is a pre hook": {
			pod:  pod(velerov1.LegacyBackupHookCommandAnnotation, "old", velerov1.LegacyBackupHookContainerAnnotation, "sidecar"),
			want: []Hook{{Stage: Pre, Source: FromAnnotation, Container: "sidecar", Command: []string{"old"}, Timeout: seconds(30)}},
		},
		"the key with a stage wins": {
			pod:  pod(velerov1.LegacyBackupHookCommandAnnotation, "old", pre, "new"),
			want: []Hook{hook(Pre, "new")},
		},
		"values that are no values": {
			pod:  pod(pre, "x", velerov1.PreBackupHookTimeoutAnnotation, "soon", velerov1.PreBackupHookOnErrorAnnotation, "ignore"),
			want: []Hook{hook(Pre, "x")},
			warnings: []string{
				`annotation pre.hook.backup.velero.io/on-error: Invalid value: "ignore": must be Continue or Fail`,
				`annotation pre.hook.backup.velero.io/timeout: Invalid value: "soon": must be a positive duration such as 30s; 30s is used`,
			},
		},
		"a timeout of nothing": {
			pod:      pod(pre, "x", velerov1.PreBackupHookTimeoutAnnotation, "-1s"),
			want:     []Hook{hook(Pre, "x")},
			warnings: []string{`"-1s": must be a positive duration`},
		},
		"an empty command": {pod: pod(pre, ""), warnings: []string{`annotation pre.hook.backup.velero.io/command: Invalid value: "": must not be empty`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := ForBackup(tc.pod, velerov1.BackupHooks{})

			g.Expect(got.Hooks).To(Equal(tc.want))
			g.Expect(got.Warnings).To(HaveLen(len(tc.warnings)))
			for i, w := range tc.warnings {
				g.Expect(got.Warnings[i].String()).To(ContainSubstring(w))
			}
		})
	}
}

func TestHooksThatCannotRunSayWhy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"an array that is none": {
			pod(velerov1.PreBackupHookCommandAnnotation, `["sh", "-c"`),
			`annotation pre.hook.backup.velero.io/command: Invalid value: "[\"sh\", \"-c\"": must be a JSON array of strings`,
		},
		"an array of numbers": {pod(velerov1.PreBackupHookCommandAnnotation, `[1]`), "must be a JSON array of strings"},
		"an empty array":      {pod(velerov1.PreBackupHookCommandAnnotation, `[]`), "must name a program"},
		"an unknown container": {
			pod(velerov1.PreBackupHookCommandAnnotation, "x", velerov1.PreBackupHookContainerAnnotation, "setup"),
			`annotation pre.hook.backup.velero.io/container: Invalid value: "setup": must be a container of the pod that stays up, one of: app, sidecar, proxy`,
		},
		"a pod without containers": {
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{velerov1.PreBackupHookCommandAnnotation: "x"}}},
			"the pod has no containers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := ForBackup(tc.pod, velerov1.BackupHooks{})

			g.Expect(got.Hooks).To(HaveLen(1))
			g.Expect(got.Hooks[0].Problem).To(ContainSubstring(tc.want))
		})
	}
}

func TestSpecsOfBackups(t *testing.T) {
	t.Parallel()
	exec := func(words ...string) velerov1.BackupResourceHook {
		return velerov1.BackupResourceHook{Exec: &velerov1.ExecHook{Command: words}}
	}
	entry := func(change func(*velerov1.BackupResourceHookSpec)) velerov1.BackupHooks {
		r := velerov1.BackupResourceHookSpec{
			Name: "all", PreHooks: []velerov1.BackupResourceHook{exec("one"), exec("two")}, PostHooks: []velerov1.BackupResourceHook{exec("three")},
		}
		if change != nil {
			change(&r)
		}
		return velerov1.BackupHooks{Resources: []velerov1.BackupResourceHookSpec{r}}
	}
	all := []string{"pre one", "pre two", "post three"}
	type spec = velerov1.BackupResourceHookSpec
	for name, tc := range map[string]struct {
		pod    *corev1.Pod
		change func(*spec)
		want   []string
	}{
		"every pod":                         {change: nil, want: all},
		"an included namespace":             {change: func(s *spec) { s.IncludedNamespaces = []string{"a", "shop"} }, want: all},
		"a pattern":                         {change: func(s *spec) { s.IncludedNamespaces = []string{"sh?p"} }, want: all},
		"another namespace":                 {change: func(s *spec) { s.IncludedNamespaces = []string{"a"} }},
		"an excluded namespace":             {change: func(s *spec) { s.ExcludedNamespaces = []string{"s*"} }},
		"pods":                              {change: func(s *spec) { s.IncludedResources = []string{"po"} }, want: all},
		"something else than pods":          {change: func(s *spec) { s.IncludedResources = []string{"deployments"} }},
		"no pods":                           {change: func(s *spec) { s.ExcludedResources = []string{"Pods"} }},
		"labels":                            {change: func(s *spec) { s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}} }, want: all},
		"other labels":                      {change: func(s *spec) { s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}} }},
		"an annotation replaces its stage":  {pod: pod(velerov1.PreBackupHookCommandAnnotation, "mine"), want: []string{"pre mine", "post three"}},
		"a hook without a command is none":  {change: func(s *spec) { s.PreHooks = []velerov1.BackupResourceHook{{}} }, want: []string{"post three"}},
		"a legacy annotation replaces also": {pod: pod(velerov1.LegacyBackupHookCommandAnnotation, "mine"), want: []string{"pre mine", "post three"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			p := tc.pod
			if p == nil {
				p = pod()
			}

			var got []string
			for _, h := range ForBackup(p, entry(tc.change)).Hooks {
				g.Expect(h.Problem).To(BeEmpty())
				g.Expect(h.Timeout).To(Equal(seconds(30)))
				got = append(got, string(h.Stage)+" "+strings.Join(h.Command, " "))
			}

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestHooksOfRestores(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	spec := velerov1.RestoreHooks{Resources: []velerov1.RestoreResourceHookSpec{{
		Name: "s", IncludedNamespaces: []string{"shop-old"},
		PostHooks: []velerov1.RestoreResourceHook{
			{Init: &velerov1.InitRestoreHook{}},
			{Exec: &velerov1.ExecRestoreHook{Container: "sidecar", Command: []string{"a"}, OnError: "Fail", ExecTimeout: seconds(5),
				WaitTimeout: seconds(60), WaitForReady: ptr.To(true)}},
		},
	}}}

	g.Expect(ForRestore(pod(), []string{"shop-old", "shop"}, spec).Hooks).To(Equal([]Hook{{
		Stage: Restored, Source: FromSpec, Name: "s", Container: "sidecar", Command: []string{"a"}, OnError: "Fail", Timeout: seconds(5),
		WaitTimeout: seconds(60), WaitForReady: true,
	}}))
	g.Expect(ForRestore(pod(), []string{"shop"}, spec).Hooks).To(BeEmpty())

	annotated := ForRestore(pod(velerov1.PostRestoreHookCommandAnnotation, "x", velerov1.PostRestoreHookWaitTimeoutAnnotation, "5m",
		velerov1.PostRestoreHookWaitForReadyAnnotation, "yes", velerov1.PostRestoreHookExecTimeoutAnnotation, "1s"), []string{"shop-old"}, spec)
	g.Expect(annotated.Hooks).To(Equal([]Hook{{
		Stage: Restored, Source: FromAnnotation, Container: "app", Command: []string{"x"}, Timeout: seconds(1), WaitTimeout: seconds(300),
	}}))
	g.Expect(annotated.Warnings).To(HaveLen(1))
	g.Expect(annotated.Warnings[0].String()).To(ContainSubstring(`wait-for-ready: Invalid value: "yes": must be true or false`))
}

func TestInitContainers(t *testing.T) {
	t.Parallel()
	spec := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{UID: "uid"},
		Spec: velerov1.RestoreSpec{Hooks: velerov1.RestoreHooks{Resources: []velerov1.RestoreResourceHookSpec{
			{Name: "other", IncludedNamespaces: []string{"x"}, PostHooks: initHooks(`{"name": "no"}`)},
			{Name: "mine", PostHooks: initHooks(`{"name": "a", "image": "i", "command": ["c"], "future": {"x": 1}}`, `{"name": "b"}`)},
		}}},
	}
	for name, tc := range map[string]struct {
		pod     *corev1.Pod
		want    string
		problem string
	}{
		"of the spec, with fields that are not known": {
			pod: pod(), want: `[{"name":"a","image":"i","command":["c"],"future":{"x":1}},{"name":"b"}]`,
		},
		"of the annotations": {
			pod: pod(velerov1.InitRestoreHookContainerImageAnnotation, "i", velerov1.InitRestoreHookContainerNameAnnotation, "n",
				velerov1.InitRestoreHookCommandAnnotation, `["a", "b"]`),
			want: `[{"name":"n","image":"i","command":["a","b"]}]`,
		},
		"without a command that of the image is run": {
			pod: pod(velerov1.InitRestoreHookContainerImageAnnotation, "i"), want: `[{"name":"velero-restore-init-2fbde598","image":"i"}]`,
		},
		"a command that cannot be read": {
			pod:     pod(velerov1.InitRestoreHookContainerImageAnnotation, "i", velerov1.InitRestoreHookCommandAnnotation, `[`),
			problem: "annotation init.hook.restore.velero.io/command",
		},
		"a name that is none": {
			pod:     pod(velerov1.InitRestoreHookContainerImageAnnotation, "i", velerov1.InitRestoreHookContainerNameAnnotation, "A B"),
			problem: `annotation init.hook.restore.velero.io/container-name: Invalid value: "A B": must be a DNS label`,
		},
		"an empty image": {pod: pod(velerov1.InitRestoreHookContainerImageAnnotation, ""), problem: "annotation init.hook.restore.velero.io/container-image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, problems := InitContainers(tc.pod, []string{"shop"}, spec)

			if tc.problem != "" {
				g.Expect(got).To(BeEmpty())
				g.Expect(problems).To(HaveLen(1))
				g.Expect(problems[0].String()).To(ContainSubstring(tc.problem))
				return
			}
			g.Expect(problems).To(BeEmpty())
			text, err := json.Marshal(got)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(text)).To(MatchJSON(tc.want))
		})
	}
}

func initHooks(containers ...string) []velerov1.RestoreResourceHook {
	h := &velerov1.InitRestoreHook{}
	for _, c := range containers {
		h.InitContainers = append(h.InitContainers, runtime.RawExtension{Raw: []byte(c)})
	}
	return []velerov1.RestoreResourceHook{{Init: h}}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(ValidateBackup(velerov1.BackupHooks{Resources: []velerov1.BackupResourceHookSpec{
		{PreHooks: []velerov1.BackupResourceHook{{Exec: &velerov1.ExecHook{Command: []string{"x"}}}}},
		{
			IncludedNamespaces: []string{"["},
			LabelSelector:      &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}},
			PreHooks:           []velerov1.BackupResourceHook{{}},
			PostHooks:          []velerov1.BackupResourceHook{{Exec: &velerov1.ExecHook{OnError: "Stop", Timeout: seconds(-1)}}},
		},
	}})).To(HaveExactElements(
		ContainSubstring(`spec.hooks.resources[1].includedNamespaces[0]: Invalid value: "["`),
		ContainSubstring("spec.hooks.resources[1].labelSelector: Invalid value"),
		ContainSubstring("spec.hooks.resources[1].pre[0].exec: Required value"),
		ContainSubstring("spec.hooks.resources[1].post[0].exec.command: Required value"),
		ContainSubstring(`spec.hooks.resources[1].post[0].exec.onError: Invalid value: "Stop": must be Continue or Fail`),
		ContainSubstring("spec.hooks.resources[1].post[0].exec.timeout: Invalid value"),
	))
	g.Expect(ValidateRestore(velerov1.RestoreHooks{Resources: []velerov1.RestoreResourceHookSpec{{
		PostHooks: append(initHooks(`{"name": "a", "image": "i", "command": ["c"]}`, `{"name": "A"}`, `[]`),
			velerov1.RestoreResourceHook{}, velerov1.RestoreResourceHook{Exec: &velerov1.ExecRestoreHook{Command: []string{"x"}, WaitTimeout: seconds(-1)}}),
	}}})).To(HaveExactElements(
		ContainSubstring(`spec.hooks.resources[0].postHooks[0].init.initContainers[1].name: Invalid value: "A"`),
		ContainSubstring("initContainers[1].image: Required value"),
		ContainSubstring("initContainers[1].command: Required value"),
		ContainSubstring("initContainers[2]: Invalid value"),
		ContainSubstring("spec.hooks.resources[0].postHooks[1]: Required value"),
		ContainSubstring("spec.hooks.resources[0].postHooks[2].exec.waitTimeout: Invalid value"),
	))
}

func TestRecord(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var r Record
	hook := func(stage Stage, name string) Hook {
		return Hook{Stage: stage, Name: name, Timeout: seconds(30), OnError: "Fail"}
	}
	r.Add(Pod{Namespace: "a", Name: "p", UID: "1"}, []Hook{hook(Pre, "p1"), hook(Post, "p2")})
	r.Add(Pod{Namespace: "a", Name: "q", UID: "2"}, []Hook{hook(Pre, "q1"), hook(Post, "q2")})

	var order []string
	for _, run := range r.Runs {
		order = append(order, run.Name)
	}
	g.Expect(order).To(Equal([]string{"p1", "q1", "p2", "q2"}), "all pre hooks come before all post hooks")
	g.Expect(r.Next(Pre)).To(Equal(0))
	g.Expect(r.IsEnded()).To(BeFalse())

	r.Runs[0].State, r.Runs[1].State, r.Runs[2].State, r.Runs[3].State = Failed, Succeeded, Skipped, Dropped
	g.Expect(r.Next(Pre)).To(Equal(-1))
	g.Expect(r.IsEnded()).To(BeTrue())
	g.Expect(r.FailedFor(0, Pre).Name).To(Equal("p1"))
	g.Expect(r.FailedFor(1, Pre)).To(BeNil())
	g.Expect(r.Count()).To(Equal(velerov1.HookStatus{HooksAttempted: 3, HooksFailed: 1}))

	text, err := r.Encode()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Decode(text)).To(Equal(r))
	for _, broken := range []string{"", "[]", `{"runs":[{"pod":0,"timeout":"1s"}]}`, `{"pods":[{}],"runs":[{"pod":0,"timeout":"0s"}]}`} {
		_, err := Decode(broken)
		g.Expect(err).To(HaveOccurred(), broken)
	}
}

// FuzzAnnotations expects that whatever is in annotations is a hook, a warning or
// nothing, and never a panic (velero-facts §12, 12).
func FuzzAnnotations(f *testing.F) {
	f.Add("", "", "", "", "")
	f.Add("[", "app", "Fail", "1s", "image")
	f.Add(`["sh","-c","true"]`, "proxy", "Continue", "-1h", "")
	f.Add(`[null]`, "setup", "fail", "9999999999h", " ")
	f.Add("[\"\"]", "\xff", "", "1", "busybox")
	f.Fuzz(func(t *testing.T, command, container, onError, duration, image string) {
		g := NewWithT(t)
		a := map[string]string{velerov1.InitRestoreHookContainerImageAnnotation: image, velerov1.InitRestoreHookCommandAnnotation: command}
		for _, k := range []keys{preKeys, postKeys, legacyKeys, restoredKeys} {
			a[k.command], a[k.container], a[k.onError], a[k.timeout], a[k.waitTimeout], a[k.waitForReady] = command, container, onError, duration, duration, onError
		}
		for _, p := range []*corev1.Pod{pod(), {}} {
			p.Annotations = a
			found := ForBackup(p, velerov1.BackupHooks{}).Hooks
			found = append(found, ForRestore(p, []string{"shop"}, velerov1.RestoreHooks{}).Hooks...)
			for _, h := range found {
				g.Expect(h.Timeout.Duration).To(BeNumerically(">", 0))
				g.Expect(h.Problem != "" || (len(h.Command) > 0 && h.Container != "")).To(BeTrue(), "%+v", h)
			}
			containers, problems := InitContainers(p, []string{"shop"}, &velerov1.Restore{})
			g.Expect(len(containers) + len(problems)).To(Equal(1))
		}
	})
}

// FuzzDecode expects that a record that is accepted can be worked with.
func FuzzDecode(f *testing.F) {
	f.Add(`{"pods":[{"namespace":"a","name":"b","uid":"c"}],"runs":[{"stage":"pre","timeout":"30s","pod":0,"state":"Started"}]}`)
	f.Add(`{"pods":null,"runs":[{"pod":-1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode(text)
		if err != nil {
			return
		}
		r.Count()
		for i, run := range r.Runs {
			_, _ = run.String(), r.Pods[run.Pod].String()
			r.FailedFor(i, run.Stage)
			r.Next(run.Stage)
		}
	})
}
