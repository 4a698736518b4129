package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/explain"
	"github.com/podkeep/podkeep/internal/selection"
)

// serverWith is the server's Deployment with arguments.
func serverWith(args ...string) *appsv1.Deployment {
	d := server("velero")
	d.Spec.Template.Spec.Containers[0].Args = append([]string{"server"}, args...)
	return d
}

func inShop(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-of-shop"}
}

// shopWithPods has the policy opt-out, a bare pod with a claim on the node, and a pod
// of a Deployment.
func shopWithPods() []client.Object {
	db := &corev1.Pod{ObjectMeta: inShop("db")}
	db.Spec.NodeName, db.Status.Phase = "node-1", corev1.PodRunning
	db.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
		{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	db.Spec.Containers = []corev1.Container{{Name: "db", VolumeMounts: []corev1.VolumeMount{{Name: "data"}, {Name: "cache"}}}}
	web := db.DeepCopy()
	web.Name = "web-5d4-x"
	web.Spec.Volumes = web.Spec.Volumes[1:]
	web.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d4", Controller: ptr.To(true)}}
	set := &appsv1.ReplicaSet{ObjectMeta: inShop("web-5d4")}
	set.OwnerReferences = []metav1.OwnerReference{{Kind: "Deployment", Name: "web", Controller: ptr.To(true)}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: inShop("data"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv-1"}}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
	pv.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOptOut}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, db, web, set, claim, pv,
	}
}

// verdicts are those of a report, as "object volume: yes Reason".
func verdicts(t *testing.T, out output) (explain.Report, []string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(out.err).To(BeEmpty())
	g.Expect(out.code).To(Equal(exitOK))
	var r explain.Report
	g.Expect(json.Unmarshal([]byte(out.out), &r)).To(Succeed(), out.out)
	var all []string
	for _, p := range r.Pods {
		for _, v := range p.Volumes {
			word := "?"
			if v.Included != nil {
				word = map[bool]string{true: "yes", false: "no"}[*v.Included]
			}
			all = append(all, p.Kind+" "+p.Namespace+"/"+p.Name+" "+v.Name+": "+word+" "+string(v.Reason))
		}
	}
	return r, all
}

func TestExplainPodsOfTheCluster(t *testing.T) {
	t.Parallel()
	schedule := &velerov1.Schedule{ObjectMeta: object("nightly")}
	schedule.Spec.Template.DefaultVolumesToFsBackup = ptr.To(false)
	policy := &corev1.ConfigMap{ObjectMeta: object("nfs-only"), Data: map[string]string{
		"p": "version: v1\nvolumePolicies:\n- {conditions: {volumeTypes: [emptyDir]}, action: {type: skip}}\n",
	}}
	tests := map[string]struct {
		args []string
		want []string
	}{
		"a pod": {
			[]string{"pod", "shop/db"}, []string{"Pod shop/db data: no HostPathUnsupported", "Pod shop/db cache: yes NamespacePolicy"},
		},
		"all pods of a namespace": {
			[]string{"namespace", "shop"},
			[]string{"Pod shop/db data: no HostPathUnsupported", "Pod shop/db cache: yes NamespacePolicy", "Pod shop/web-5d4-x cache: yes NamespacePolicy"},
		},
		"for a schedule": {
			[]string{"pod", "shop/web-5d4-x", "--from-schedule", "nightly"}, []string{"Pod shop/web-5d4-x cache: no BackupDefault"},
		},
		"for a flag": {
			[]string{"pod", "shop/web-5d4-x", "--default-volumes-to-fs-backup=false"}, []string{"Pod shop/web-5d4-x cache: no BackupDefault"},
		},
		"for policies": {
			[]string{"pod", "shop/web-5d4-x", "--resource-policies-configmap", "nfs-only"}, []string{"Pod shop/web-5d4-x cache: no VolumePolicySkip"},
		},
		"flags change what a schedule says": {
			[]string{"pod", "shop/web-5d4-x", "--from-schedule", "nightly", "--default-volumes-to-fs-backup"}, []string{"Pod shop/web-5d4-x cache: yes BackupDefault"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := apiWith(t, noFuncs, append(shopWithPods(), serverWith(), schedule.DeepCopy(), policy.DeepCopy())...)

			_, got := verdicts(t, podkeep(t.Context(), c, append([]string{"explain", "-o", "json"}, tc.args...)...))

			NewWithT(t).Expect(got).To(Equal(tc.want))
		})
	}
}

func TestExplainKnowsWhoMakesAPod(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, noFuncs, append(shopWithPods(), serverWith())...)

	got := podkeep(t.Context(), c, "explain", "pod", "shop/web-5d4-x")

	g.Expect(got.err).To(BeEmpty())
	g.Expect(got.out).To(And(
		ContainSubstring("shop/web-5d4-x (Running), made by Deployment web"),
		ContainSubstring("in the pod template of Deployment web, set the annotation backup.velero.io/backup-volumes-excludes: cache"),
		ContainSubstring("false (--default-volumes-to-fs-backup of Deployment velero/velero)"),
	))
}

func TestServerDefault(t *testing.T) {
	t.Parallel()
	forbidden := func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
		if _, ok := obj.(*appsv1.Deployment); ok {
			return apierrors.NewForbidden(appsv1.Resource("deployments"), key.Name, errors.New("no"))
		}
		return c.Get(ctx, key, obj, opts...)
	}
	const flag = "--default-volumes-to-fs-backup"
	tests := map[string]struct {
		funcs  interceptor.Funcs
		server client.Object
		want   *bool
		from   string
	}{
		"not given":          {noFuncs, serverWith("--default-backup-ttl=1h"), ptr.To(false), flag + " of Deployment velero/velero"},
		"given":              {noFuncs, serverWith(flag), ptr.To(true), flag + " of Deployment velero/velero"},
		"given twice":        {noFuncs, serverWith(flag+"=true", flag+"=false"), ptr.To(false), flag + " of Deployment velero/velero"},
		"no installation":    {noFuncs, server("backups"), nil, "podkeep is not installed in namespace velero; podkeep is not installed there but in backups: pass -n backups"},
		"not for this user":  {interceptor.Funcs{Get: forbidden}, serverWith(), nil, "you may not read Deployment velero/velero"},
		"another's argument": {noFuncs, serverWith(flag + "-excludes=x"), ptr.To(false), flag + " of Deployment velero/velero"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "data"}}
			pod.Spec.Containers = []corev1.Container{{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}}
			c := apiWith(t, tc.funcs, append(shopWithPods(), pod, tc.server)...)

			r, _ := verdicts(t, podkeep(t.Context(), c, "explain", "pod", "p", "-o", "json"))

			g.Expect(r.Settings.ServerDefault).To(Equal(explain.Value{Value: tc.want, From: tc.from}))
			g.Expect(r.Pods[0].Namespace).To(Equal("default"), "that of the kubeconfig's context")
			g.Expect(r.Pods[0].Volumes[0].Included).To(Equal(tc.want))
		})
	}
}

const shopManifests = `
# what people keep in a repository
apiVersion: v1
kind: Namespace
metadata: {name: new, labels: {podkeep.io/fs-backup: opt-out}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, namespace: new, annotations: {podkeep.io/fs-backup: exclude}}
spec: {volumeMode: Filesystem}
---
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: new}
spec:
  template:
    metadata: {annotations: {backup.velero.io/backup-volumes: dta}}
    spec:
      containers: [{name: a, image: a, volumeMounts: [{name: files, mountPath: /f}, {name: tmp, mountPath: /t}]}]
      volumes:
      - {name: files, persistentVolumeClaim: {claimName: files}}
      - {name: tmp, emptyDir: {}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: new}
spec:
  template:
    spec:
      containers: [{name: a, image: a, volumeMounts: [{name: data, mountPath: /d}, {name: raw, mountPath: /r}]}]
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {}}
  - {metadata: {name: raw}, spec: {volumeMode: Block}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, volumeMounts: [{name: out, mountPath: /o}]}], volumes: [{name: out, emptyDir: {}}]}}}}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
- apiVersion: argoproj.io/v1alpha1
  kind: Rollout
  metadata: {name: r, namespace: new}
  spec: {template: {spec: {containers: [{name: a, volumeMounts: [{name: out, mountPath: /o}]}], volumes: [{name: out, emptyDir: {}}]}}}
`

func TestExplainWhatIsNotApplied(t *testing.T) {
	t.Parallel()
	want := []string{
		"Deployment new/web files: no ExcludedByClaim", "Deployment new/web tmp: yes NamespacePolicy",
		"StatefulSet new/db data: yes NamespacePolicy", "StatefulSet new/db raw: no BlockVolume",
		"CronJob default/report out: no ServerDefault", "Rollout new/r out: yes NamespacePolicy",
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	NewWithT(t).Expect(os.WriteFile(file, []byte(shopManifests), 0o600)).To(Succeed())
	for _, args := range [][]string{{"explain", "-f", file}, {"explain", "-f", "-"}, {"explain", "pod", "-f", file}} {
		t.Run(strings.Join(args[:len(args)-1], " "), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := newSession(apiWith(t, noFuncs, append(shopWithPods(), serverWith())...))

			r, got := verdicts(t, s.runWith(t.Context(), shopManifests, append(args, "-o", "json")...))

			g.Expect(got).To(Equal(want))
			g.Expect(r.Pods[0].Warnings).To(ContainElement(HaveField("Problem", selection.ProblemUnknownVolume)))
			g.Expect(r.Pods[0].Stamp).To(BeNil())
		})
	}
}

func TestExplainErrorsNameTheNextStep(t *testing.T) {
	t.Parallel()
	wrong := &corev1.ConfigMap{ObjectMeta: object("wrong"), Data: map[string]string{"p": "version: v1\nvolumePolicies: [{action: {type: no}}]"}}
	tests := map[string]struct {
		in   string
		args []string
		want string
	}{
		"no name":               {"", []string{"pod"}, "0 names given, at least 1 wanted; name the pods, or a file with -f: podkeep explain pod NAMESPACE/NAME... [flags]"},
		"no namespace":          {"", []string{"namespace"}, "0 names given, at least 1 wanted; name the namespaces: podkeep explain namespace NAME... [flags]"},
		"no such pod":           {"", []string{"pod", "shop/x"}, `pod "x" not found in namespace shop; list pods with: kubectl get pods -n shop`},
		"no pods":               {"", []string{"ns", "nowhere"}, `no pods in namespace nowhere; list namespaces with: kubectl get namespaces`},
		"no such schedule":      {"", []string{"pod", "shop/db", "--from-schedule", "x"}, `schedule "x" not found in namespace velero; list schedules with: podkeep schedule get`},
		"no such backup":        {"", []string{"pod", "shop/db", "--backup", "x"}, `backup "x" not found in namespace velero; list backups with: podkeep backup get`},
		"both of them":          {"", []string{"pod", "shop/db", "--backup", "x", "--from-schedule", "y"}, `--backup and --from-schedule exclude each other; leave one of them out`},
		"no such policies":      {"", []string{"pod", "shop/db", "--resource-policies-configmap", "x"}, `spec.resourcePolicy.name: Not found: "x": create the ConfigMap in namespace velero; a backup would be refused: correct it with: kubectl edit configmap -n velero x`},
		"wrong policies":        {"", []string{"pod", "shop/db", "--resource-policies-configmap", "wrong"}, `spec.resourcePolicy.name: Invalid value: "wrong": volumePolicies[0].action.type: Unsupported value: "no": supported values: ["skip" "fs-backup" "snapshot" "custom"]; a backup would be refused: correct it with: kubectl edit configmap -n velero wrong`},
		"names and a file":      {"", []string{"pod", "shop/db", "-f", "-"}, "names and --filename exclude each other; leave one of them out"},
		"no such file":          {"", []string{"-f", "/no/such/file"}, "--filename: open /no/such/file: no such file or directory"},
		"nothing with pods":     {"apiVersion: v1\nkind: Service\n", []string{"-f", "-"}, "--filename: no pods, and nothing that makes pods, in any of the documents; name a file with Pods, Deployments, StatefulSets, DaemonSets, Jobs or CronJobs"},
		"nothing of Kubernetes": {"a: b\n", []string{"-f", "-"}, "standard input, document 1: apiVersion and kind: Required value: it must be an object of Kubernetes"},
		"another format":        {"", []string{"pod", "shop/db", "-o", "wide"}, `--output: Unsupported value: "wide": supported values: table, json, yaml`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := newSession(apiWith(t, noFuncs, append(shopWithPods(), serverWith(), wrong.DeepCopy())...))

			got := s.runWith(t.Context(), tc.in, append([]string{"explain"}, tc.args...)...)

			g.Expect(got).To(Equal(output{err: "podkeep: " + tc.want + "\n", code: exitFailed}))
		})
	}
	g := NewWithT(t)
	for _, text := range []string{"{", "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: [a]}]}"} {
		got := newSession(apiWith(t, noFuncs)).runWith(t.Context(), text, "explain", "-f", "-")
		g.Expect(got.err).To(ContainSubstring("standard input, document 1"))
	}
}

func TestExplainWithoutAllRights(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, ok := obj.(*corev1.PersistentVolume); ok {
				return apierrors.NewForbidden(corev1.Resource("persistentvolumes"), key.Name, errors.New("no"))
			}
			return c.Get(ctx, key, obj, opts...)
		},
	}, append(shopWithPods(), serverWith())...)

	r, got := verdicts(t, podkeep(t.Context(), c, "explain", "pod", "shop/db", "-o", "json"))

	g.Expect(got).To(HaveExactElements("Pod shop/db data: yes NamespacePolicy", "Pod shop/db cache: yes NamespacePolicy"))
	g.Expect(r.Pods[0].Warnings).To(ContainElement(And(
		HaveField("Problem", explain.ProblemNotRead), HaveField("Text", ContainSubstring("getting persistent volume pv-1")),
	)))
}

// TestNamespaceOfABareName: -n names the pod's namespace where the name does not.
func TestNamespaceOfABareName(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := newSession(apiWith(t, noFuncs, append(shopWithPods(), serverWith())...))
	s.namespace = func() (string, error) { return "shop", nil } // what the factory makes of -n
	root := &cobra.Command{Use: "podkeep", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().StringP("namespace", "n", "", "")
	root.AddGroup(&cobra.Group{ID: groupClient})
	root.AddCommand(s.commands()...)
	var out, err bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&err)

	code := run(t.Context(), root, []string{"explain", "pod", "db", "-n", "shop", "-o", "json"})

	r, _ := verdicts(t, output{out: out.String(), err: err.String(), code: code})
	g.Expect(r.Pods[0].Namespace).To(Equal("shop"))
	g.Expect(r.Settings.ServerDefault.Value).To(HaveValue(BeFalse()), "the installation is where it is configured")
}

func TestNamespaceFlagOfExplain(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	env := func(key string) string {
		return map[string]string{"VELERO_NAMESPACE": "backups", "HOME": "/does/not/exist"}[key]
	}
	f := newFactory(env)
	f.namespace = "shop"

	g.Expect(f.Namespace()).To(Equal("shop"))
	g.Expect(f.configuredNamespace()).To(Equal("backups"), "where podkeep is when -n names the pod's namespace")
}
