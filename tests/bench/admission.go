package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/tests/suite"
	"github.com/podkeep/podkeep/webhook"
	"github.com/podkeep/podkeep/webhook/registration"
)

// Budgets of admission (issue 4).
const (
	admissionMostSeconds = 0.010
	admissionMostBytes   = 40 * megabytes
)

// admissionQuantile is the share of admissions that the budget is about.
const admissionQuantile = 0.99

// admissionRates are the numbers of the section; each is a flag.
type admissionRates struct {
	namespaces int // with a policy
	pods       int // that run nowhere
	perSecond  int // admissions
	duration   time.Duration
}

func (r *admissionRates) bind(f *flag.FlagSet) {
	f.IntVar(&r.namespaces, "namespaces", 10_000, "number of namespaces with a policy; the budgets are for the default")
	f.IntVar(&r.pods, "pods", 5000, "number of pods in the cluster; the budgets are for the default")
	f.IntVar(&r.perSecond, "rate", 500, "admissions per second; the budgets are for the default")
	f.DurationVar(&r.duration, "load", 30*time.Second, "how long admissions are sent to each replica")
}

// admissions is one run of the section.
type admissions struct {
	*bench

	cluster *suite.Cluster // with a rate limit of its own
	run     string         // name of all that it makes
}

// replica is one pod of the webhook.
type replica struct {
	pod corev1.Pod
	pid int
}

// admissionSample is what one replica did with the load.
type admissionSample struct {
	server   histogram     // of the replica
	client   []float64     // seconds from when a request was due to its answer, sorted
	failed   int           // requests without a stamp
	example  error         // one of them
	requests float64       // of the replica at the API server meanwhile
	memory   memory        // at the end, with the peak of the load
	cpu      time.Duration // of the replica
}

// measureAdmission fills the cluster with namespaces and pods, and sends admissions
// to one replica of the webhook after the other: at a fixed rate, whether answers come
// or not.
func (b *bench) measureAdmission(ctx context.Context) (err error) {
	c, err := b.cluster()
	if err != nil {
		return err
	}
	a := &admissions{bench: b, cluster: c, run: "admission-" + rand.String(5)}
	a.cluster.Config.QPS, a.cluster.Config.Burst = scaleQPS, scaleQPS
	if a.cluster.Client, err = client.NewWithWatch(a.cluster.Config, client.Options{Scheme: c.Client.Scheme()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.remove(context.WithoutCancel(ctx))) }()
	if err := a.fill(ctx); err != nil {
		return fmt.Errorf("filling the cluster: %w", err)
	}
	replicas, err := a.replicas(ctx)
	if err != nil {
		return err
	}
	b.progress("admission: waiting until the machine has come to rest")
	if err := a.settle(ctx); err != nil {
		return err
	}
	var samples []admissionSample
	for i, r := range replicas {
		b.progress("admission: %d per second for %s, replica %d of %d", a.admission.perSecond, a.admission.duration, i+1, len(replicas))
		sample, err := a.load(ctx, r)
		if err != nil {
			return fmt.Errorf("sending admissions to %s: %w", r.pod.Name, err)
		}
		samples = append(samples, sample)
	}
	// The memory of all, when all have worked.
	for i, r := range replicas {
		peak := samples[i].memory.peak
		if samples[i].memory, err = readMemory(r.pid); err != nil {
			return err
		}
		samples[i].memory.peak = peak
	}
	b.report.add(a.rows(samples)...)
	return nil
}

// replicas finds the webhook's pods and their processes. While a new version is rolled
// out there are more of them.
func (a *admissions) replicas(ctx context.Context) ([]replica, error) {
	var found []replica
	err := wait.PollUntilContextTimeout(ctx, time.Second, suite.Short, true, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		if err := a.cluster.Client.List(ctx, pods, client.InNamespace(suite.Namespace), client.MatchingLabels{"deploy": suite.WebhookName}); err != nil {
			return false, err
		}
		processes, err := findProcesses()
		if err != nil {
			return false, err
		}
		found = nil
		for _, pod := range pods.Items {
			for _, pid := range processes["webhook"] {
				if isProcessOf(pid, pod.Name) {
					found = append(found, replica{pod: pod, pid: pid})
				}
			}
		}
		return len(found) == 2 && len(pods.Items) == 2, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the webhook has %d processes with a pod, not 2: %w", len(found), err)
	}
	return found, nil
}

func isProcessOf(pid int, pod string) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.Contains(strings.Split(string(environment), "\x00"), "POD_NAME="+pod)
}

// load sends the admissions to one replica.
func (a *admissions) load(ctx context.Context, r replica) (admissionSample, error) {
	sender, err := a.newSender(ctx, r)
	if err != nil {
		return admissionSample{}, err
	}
	if err := sender.warmUp(ctx); err != nil {
		return admissionSample{}, err
	}
	before, err := readWebhook(ctx, r)
	if err != nil {
		return admissionSample{}, err
	}
	if err := resetPeak(r.pid); err != nil {
		return admissionSample{}, err
	}
	answers := sender.send(ctx, a.admission.perSecond, a.admission.duration)
	m, err := readMemory(r.pid)
	if err != nil {
		return admissionSample{}, err
	}
	after, err := readWebhook(ctx, r)
	if err != nil {
		return admissionSample{}, err
	}
	sample := admissionSample{
		server: after.duration.since(before.duration), requests: after.requests - before.requests,
		memory: m, cpu: after.cpu - before.cpu,
	}
	for _, answer := range answers {
		sample.client = append(sample.client, answer.took.Seconds())
		if answer.err != nil {
			sample.failed++
			sample.example = answer.err
		}
	}
	slices.Sort(sample.client)
	if sample.server.count() < float64(len(answers)-sample.failed) {
		return sample, fmt.Errorf("the replica has counted %.0f of %d admissions", sample.server.count(), len(answers))
	}
	return sample, ctx.Err()
}

// idleConnections is how many the API server keeps (k8s.io/client-go, transport).
const idleConnections = 25

// newSender connects to a replica as the API server does to the Service: by its
// certificate's name, over HTTP/1.1 (k8s.io/apiserver, pkg/util/webhook).
func (a *admissions) newSender(ctx context.Context, r replica) (*sender, error) {
	configuration, err := a.cluster.Clientset.AdmissionregistrationV1().MutatingWebhookConfigurations().
		Get(ctx, registration.ConfigurationName(suite.Namespace), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(configuration.Webhooks[0].ClientConfig.CABundle) {
		return nil, fmt.Errorf("the caBundle of %s has no certificate", configuration.Name)
	}
	address := net.JoinHostPort(r.pod.Status.PodIP, strconv.Itoa(webhook.DefaultPort))
	return &sender{
		url: "https://" + address + registration.SelectionPath,
		client: &http.Client{
			Timeout: 10 * time.Second,
			Transport: &http.Transport{
				MaxIdleConnsPerHost: idleConnections,
				TLSClientConfig: &tls.Config{
					NextProtos: []string{"http/1.1"}, RootCAs: authorities, ServerName: registration.ServiceName + "." + suite.Namespace + ".svc", MinVersion: tls.VersionTLS13,
				},
			},
		},
		review: newReview(), namespace: a.namespace, namespaces: a.admission.namespaces,
	}, nil
}

func (a *admissions) rows(samples []admissionSample) []row {
	what := fmt.Sprintf("admission at %d per second, %d namespaces, %d pods", a.admission.perSecond, a.admission.namespaces, a.admission.pods)
	var worst, largest, sum float64
	var times, memories []string
	for _, s := range samples {
		p99 := s.server.quantile(admissionQuantile)
		worst, largest, sum = max(worst, p99), max(largest, float64(s.memory.peak)), sum+float64(s.memory.resident)
		text := fmt.Sprintf("%.2f %% within %.0f ms of %.0f, client's p99 %.1f ms and greatest %.1f ms, %d failed, %.0f requests to the API server, processor %.1f s",
			100*s.server.within(admissionMostSeconds), 1000*admissionMostSeconds, s.server.count(),
			1000*s.client[len(s.client)*99/100], 1000*s.client[len(s.client)-1], s.failed, s.requests, s.cpu.Seconds())
		if s.example != nil {
			text += ": " + s.example.Error()
		}
		times = append(times, text)
		memories = append(memories, fmt.Sprintf("%.1f MB now, peak %s", float64(s.memory.resident)/megabytes, s.memory.detail()))
	}
	return []row{
		{
			what: what + ", p99 in the server", measured: fmt.Sprintf("%.1f ms", 1000*worst),
			budget: fmt.Sprintf("≤ %.0f ms", 1000*admissionMostSeconds), verdict: judge(limit{worst, admissionMostSeconds}),
			detail: strings.Join(times, "; "),
		},
		{
			what: what + ", peak memory of a replica", measured: fmt.Sprintf("%.1f MB", largest/megabytes),
			budget: fmt.Sprintf("≤ %.0f MB", admissionMostBytes/megabytes), verdict: judge(limit{largest, admissionMostBytes}),
			detail: fmt.Sprintf("both %.1f MB; %s", sum/megabytes, strings.Join(memories, "; ")),
		},
	}
}
